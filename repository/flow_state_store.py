"""The state of a flow between its steps: saved under an optimistic version, checkpointed, recovered."""

import json
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import (
    FlowContext,
    FlowNotFound,
    InputInvalid,
    PermanentError,
    TenantMismatch,
    VersionConflict,
)
from masterflow.domain.clock import (
    MAX_AHEAD,
    clock,
    from_microseconds,
    parse_time,
    stamp_of,
    to_microseconds,
    uuid7,
)
from masterflow.domain.errors import UpdateSkipped
from masterflow.domain.ids import flow_uuid
from masterflow.repository.arguments import phase_name
from masterflow.repository.database import translated_errors
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.rights.row_security import foreign_flow, no_such_flow
from masterflow.repository.secure_cache import CHECKPOINT_TTL_S, STATE_TTL_S, SecureCache
from masterflow.repository.sql import statement
from masterflow.repository.states import NOT_STATE, State, restored_state, state_text

JsonObject = dict[str, Any]


# SQLSTATEs begin so where the data is at fault, or is too much.
_DATA_REFUSED: Final = ("22", "54")


class CheckpointNotFound(PermanentError):
    """The flow has no checkpoint of this id: it never had, or ten newer ones took its place."""

    reason = "checkpoint_not_found"


class VersionedState(NamedTuple):
    """A state, and the version to save its successor under."""

    state: JsonObject
    version: int


class PostgresFlowStateStore:
    """Keeps the state of a tenant's flows in their master rows; it joins the caller's transaction.

    Nothing is read to be written back, so what others keep in the same columns stays. A cached state stands
    under the version of the row it was read from: whatever changes the row makes the next load read it again,
    and a transaction that rolls back leaves nothing behind.
    """

    def __init__(self, db: AsyncSession, context: FlowContext, cache: SecureCache | None = None) -> None:
        self._db = db
        self._context = context
        self._cache = cache

    async def save_state(
        self, flow_id: UUID | str, state: State, phase: str, version: int | None = None
    ) -> int:
        """Save the state, set `current_phase`, and return the new version.

        With `version`, the one the state was loaded or last saved under, nobody else's save is overwritten;
        a flow that was never saved has version 0.

        Raises:
            InputInvalid: a value of the state would not come back as it is, or `version` is no number.
            VersionConflict: somebody saved in between; nothing was written.
            UpdateSkipped: a trigger or a policy keeps the row as it is.
        """
        flow = flow_uuid(flow_id)
        if version is not None and type(version) is not int:
            raise InputInvalid(
                f"{version!r:.80} is no version; pass what save_state or load_versioned returned."
            )
        rows = await self._execute(
            "save_state",
            flow,
            state=state_text(state),
            phase=phase_name(phase),
            version=version,
            stamp=_stamp(flow),
        )
        if not rows:
            found = await self._row(flow)
            if version is None or version == found["version"]:
                raise UpdateSkipped(f"A trigger or a policy of the master table keeps flow {flow} as it is.")
            raise VersionConflict(
                f"Flow {flow} is no longer at version {version} but at {found['version']}; load it again."
            )
        return int(rows[0]["version"])

    async def load_state(self, flow_id: UUID | str) -> JsonObject | None:
        """Return the state as it was saved, with the row's `current_phase`, or None if there is no such flow.

        A status that changed after the last save stands under `status`.
        """
        loaded = await self.load_versioned(flow_id)
        return None if loaded is None else loaded.state

    async def load_versioned(self, flow_id: UUID | str) -> VersionedState | None:
        """Return what `load_state` does together with the version to save under.

        Raises:
            TenantMismatch: the flow is another tenant's.
        """
        flow = flow_uuid(flow_id)
        try:
            row_version = (await self._row(flow))["row_version"]
        except TenantMismatch:
            raise
        except FlowNotFound:
            return None
        loaded = await self._cached(flow, f"state:{row_version}") or await self._read_state(flow)
        if loaded is None:
            return None
        _observe(flow, stamp=loaded["stamp"], times=loaded["times"])
        return VersionedState(restored_state(loaded["state"]), loaded["version"])

    async def update_flow_status(self, flow_id: UUID | str, status: str) -> None:
        """Change the flow's status, as an event that happens now."""
        context = self._context
        master = CrewAIFlowStateExtensionsRepository(
            self._db, context.client_account_id, context.engagement_id, context.user_id
        )
        await master.update_flow_status(flow_id, status)

    async def create_checkpoint(self, flow_id: UUID | str, phase: str, state: State | None = None) -> str:
        """Keep a copy of the state, or of the saved one, and return its id; a flow has ten at most.

        Raises:
            InputInvalid: a value of the state would not come back as it is, or `flow_persistence_data` holds
                no object to keep it in.
            UpdateSkipped: a trigger or a policy keeps the row as it is.
        """
        flow = flow_uuid(flow_id)
        checkpoint_id = f"{flow}_{uuid7(time.time_ns() // 1000).hex}"
        checkpoint = {
            "checkpoint_id": checkpoint_id,
            "flow_id": str(flow),
            "phase": phase_name(phase),
            "created_at": clock.tick(flow).isoformat(timespec="microseconds"),
            **self._context.model_dump(mode="json"),
        }
        document = None if state is None else state_text(state)
        parameters = {"checkpoint": json.dumps(checkpoint), "state": document, "not_state": list(NOT_STATE)}
        if not await self._execute("create_checkpoint", flow, **parameters):
            if (await self._row(flow))["holds_state"]:
                raise UpdateSkipped(f"A trigger or a policy of the master table keeps flow {flow} as it is.")
            raise InputInvalid(f"flow_persistence_data of flow {flow} is no object; save a state first.")
        return checkpoint_id

    async def list_checkpoints(self, flow_id: UUID | str) -> list[JsonObject]:
        """Return the flow's checkpoints without their states, oldest first."""
        flow = flow_uuid(flow_id)
        rows = await self._execute("list_checkpoints", flow)
        if not rows:
            await self._row(flow)
        return [row["checkpoint"] for row in rows]

    async def recover_from_checkpoint(self, checkpoint_id: str) -> JsonObject:
        """Save a checkpoint's state and phase as the flow's new ones, and return the state.

        Raises:
            InputInvalid: the checkpoint, which somebody else wrote, holds no state or no phase.
        """
        checkpoint = await self._checkpoint(checkpoint_id)
        state, phase = checkpoint["state"], checkpoint["phase"]
        if not isinstance(state, dict):
            raise InputInvalid(f"Checkpoint {checkpoint_id!r:.80} holds no state; take another one.")
        state = restored_state(state)
        await self.save_state(_flow_id_of(checkpoint_id), state, phase)
        return {**state, "current_phase": phase}

    async def _checkpoint(self, checkpoint_id: str) -> JsonObject:
        flow = _flow_id_of(checkpoint_id)
        cached = await self._cached(flow, f"checkpoint:{checkpoint_id}")
        if cached is not None:
            return cached
        parameters = {"checkpoint_id": checkpoint_id, "not_state": list(NOT_STATE)}
        rows = await self._execute("read_checkpoint", flow, **parameters)
        if not rows:
            await self._row(flow)
            raise CheckpointNotFound(f"Flow {flow} has no checkpoint {checkpoint_id!r:.80}; list them.")
        checkpoint = _with_state(rows[0], flow)
        await self._keep(flow, f"checkpoint:{checkpoint_id}", checkpoint, ttl_s=CHECKPOINT_TTL_S)
        return checkpoint

    async def _read_state(self, flow: UUID) -> JsonObject | None:
        rows = await self._execute("load_state", flow, not_state=list(NOT_STATE))
        if not rows:
            return None
        row = _with_state(rows[0], flow)
        row["version"] = int(row["version"])
        await self._keep(flow, f"state:{row.pop('row_version')}", row, ttl_s=STATE_TTL_S)
        return row

    async def _cached(self, flow: UUID, name: str) -> JsonObject | None:
        cached = await self._cache.get(self._context, flow, name=name) if self._cache else None
        return cached if isinstance(cached, dict) else None

    async def _keep(self, flow: UUID, name: str, value: JsonObject, *, ttl_s: int) -> None:
        if self._cache:
            await self._cache.put(self._context, flow, name=name, value=value, ttl_s=ttl_s)

    async def _row(self, flow: UUID) -> RowMapping:
        """Return what tells this version of the row from every other, and whether it can hold checkpoints.

        Where there is no row of the tenant, FlowNotFound or, in the same words, TenantMismatch.
        """
        rows = await self._execute("read_row_version", flow)
        if not rows:
            raise await no_such_flow(self._db, flow, advice="create its master row first")
        if not rows[0]["is_own"]:
            raise await foreign_flow(self._db, flow, advice="create its master row first")
        return rows[0]

    async def _execute(self, name: str, flow: UUID, **parameters: Any) -> Sequence[RowMapping]:
        tenant = self._context.model_dump(include={"client_account_id", "engagement_id"})
        async with translated_errors():
            try:
                result = await self._db.execute(statement(name), {"flow_id": flow, **tenant, **parameters})
                return result.mappings().all()
            except DBAPIError as error:
                _refuse_data(error)
                raise


def _with_state(row: RowMapping, flow: UUID) -> JsonObject:
    """Return a row with its state read from text: what readers of a flow cut must come back whole here.

    Raises:
        InputInvalid: somebody else wrote what Python does not read.
    """
    try:
        return {**row, "state": None if row["state"] is None else json.loads(row["state"])}
    except (ValueError, RecursionError) as error:
        # Somebody else wrote numbers of over 4,300 digits, or hundreds of levels.
        raise InputInvalid(
            f"What flow {flow} holds is no JSON that Python reads ({error!s:.80}); mend its row."
        ) from error


def _flow_id_of(checkpoint_id: str) -> UUID:
    """Return the flow id that a checkpoint id begins with.

    Raises:
        CheckpointNotFound: it begins with none.
    """
    try:
        return UUID(checkpoint_id[:36])
    except (ValueError, TypeError) as error:
        raise CheckpointNotFound(f"{checkpoint_id!r:.80} is no checkpoint id; list them.") from error


def _refuse_data(error: DBAPIError) -> None:
    """Tell what Postgres has against a state, if that is what it refuses.

    Raises:
        InputInvalid: the state is too large, or the database's encoding has no place for its text.
    """
    if str(getattr(error.orig, "sqlstate", None) or "").startswith(_DATA_REFUSED):
        cause = getattr(getattr(error.orig, "diag", None), "message_primary", None)
        raise InputInvalid(f"Postgres does not take this state ({cause!s:.160}); mend it.") from error


def _stamp(flow: UUID) -> str:
    """Return the place in time of something that happens now, as events have it."""
    at = to_microseconds(clock.tick(flow))
    return stamp_of(at, uuid7(at))


def _observe(flow: UUID, *, stamp: str | None, times: Iterable[object]) -> None:
    """Let the flow's next event be later than what its row knows of, whichever host wrote that.

    A time far ahead is some clock's mistake: following it would only spread it.
    """
    known = [parse_time(text) for text in times]
    known.append(from_microseconds(int(stamp[:16])) if stamp else None)
    limit = datetime.now(UTC) + MAX_AHEAD
    past = [at for at in known if at is not None and at <= limit]
    if past:
        clock.observe(flow, max(past))
