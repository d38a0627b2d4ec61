"""The child row of a discovery flow: its heavy data, and what of it the master row gets."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping, and_, not_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import InputInvalid, TenantMismatch
from masterflow.domain.flow_types.discovery import DISCOVERY
from masterflow.domain.flow_types.progress import percent_of
from masterflow.domain.flow_types.specification import Phases
from masterflow.domain.ids import flow_uuid, parse_id
from masterflow.domain.payload.safe import safe_text
from masterflow.repository.arguments import phase_name
from masterflow.repository.child_tables import FoundTable, completions, find_table
from masterflow.repository.database import translated_errors
from masterflow.repository.documents import document_of, document_text
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.rights.row_security import foreign_flow, no_such_flow
from masterflow.repository.sql import statement
from masterflow.repository.tables import CrewAIFlowStateExtensions, DiscoveryFlow

_MAX_NAME_CHARS: Final = 255

_TABLE: Final = DISCOVERY.table

# The master gets an insight in a few words, and no more insights than these in one call.
_MAX_INSIGHTS: Final = 20
_MAX_INSIGHT_CHARS: Final = 300

_MISSING: Final[Any] = {
    "advice": "create_discovery_flow makes one",
    "is_update": True,
    "table": DiscoveryFlow,
}

Insight = Mapping[str, Any] | str


class DiscoveryFlowRepository:
    """Reads and writes a tenant's discovery flows; it joins the caller's transaction and never commits."""

    def __init__(
        self,
        db: AsyncSession,
        client_account_id: UUID | str,
        engagement_id: UUID | str,
        user_id: UUID | str | None = None,
        *,
        course: str | None = None,
    ) -> None:
        """Count as that version of the application does: its `course` is "2025" or "v3".

        Without one, the first counts whose columns the table has.

        Raises:
            InputInvalid: an id is malformed, or there is no such course.
        """
        if course is not None and course not in _TABLE.courses:
            raise InputInvalid(f"{course!r:.80} is no course; use {' or '.join(_TABLE.courses)}.")
        self._course = course
        self._db = db
        self._client_account_id = parse_id(client_account_id, name="client account id")
        self._engagement_id = parse_id(engagement_id, name="engagement id")
        self._user_id = None if user_id is None else str(user_id)

    async def create_discovery_flow(
        self,
        flow_id: UUID | str,
        flow_name: str | None = None,
        *,
        master_flow_id: UUID | str | None = None,
        data_import_id: UUID | str | None = None,
        initial_state: Mapping[str, Any] | None = None,
    ) -> DiscoveryFlow:
        """Create the child row, or return it unchanged if the tenant already has it.

        A child belongs to the tenant of its master, so neither id may be that of another tenant's flow.

        Raises:
            InputInvalid: the repository was made without a user, or an id is malformed.
            TenantMismatch: an id is taken by a flow of another tenant.
        """
        if not self._user_id:
            raise InputInvalid("A new flow belongs to a user; make the repository with a user_id.")
        key = self._key(flow_id)
        values = {
            **key,
            "master_flow_id": master_flow_id and flow_uuid(master_flow_id),
            "data_import_id": data_import_id and parse_id(data_import_id, name="data import id"),
            "user_id": self._user_id,
            "flow_name": safe_text(
                flow_name or f"Discovery flow {key['flow_id']}", max_chars=_MAX_NAME_CHARS
            ),
            "crewai_state_data": json.loads(document_text(document_of(initial_state or {}))),
        }
        async with translated_errors():
            is_foreign = await self._is_of_another_tenant(values["flow_id"], values["master_flow_id"])
            if not is_foreign:
                await self._db.execute(
                    insert(DiscoveryFlow)
                    .values(values)
                    .on_conflict_do_nothing(index_elements=[DiscoveryFlow.flow_id])
                )
        child = None if is_foreign else await self.get_by_flow_id(flow_id)
        if child is None:
            raise TenantMismatch(f"An id of discovery flow {flow_id} cannot be used; use another one.")
        return child

    async def get_by_flow_id(self, flow_id: UUID | str) -> DiscoveryFlow | None:
        """Return the tenant's child row as it stands in the database now, or None."""
        query = select(DiscoveryFlow).filter_by(**self._key(flow_id))
        async with translated_errors():
            return await self._db.scalar(query.execution_options(populate_existing=True))

    async def update_phase_completion(
        self,
        flow_id: UUID | str,
        phase: str,
        data: Mapping[str, Any] | None = None,
        completed: bool = False,  # noqa: FBT001, FBT002 - callers pass it by position
        duration_ms: float | None = None,
        agent_insights: Sequence[Insight] | None = None,
    ) -> None:
        """Note in the child what a phase did, and in the same transaction report it to the master.

        The heavy `data` and the insights stay in the child, whole; the master gets the transition, the time
        and each new insight in a few words. Raises FlowNotFound and TenantMismatch for either row, and
        InputInvalid for an id, phase, data or duration that is malformed.
        """
        key, name = self._key(flow_id), phase_name(phase)
        canonical = DISCOVERY.phase(name) if completed else None
        parameters = {
            "phase": name,
            "completed_column": _TABLE.completed.get(canonical or "", ""),
            "is_finalized": canonical == DISCOVERY.order[-1],
            "data": None if data is None else document_text(document_of(data)),
            "insights": document_text(list(agent_insights or [])),
        }
        async with translated_errors():
            child = await self._update_child(key, parameters)
        await self._report_to_master(child, name, completed=completed, duration_ms=duration_ms)

    async def _is_of_another_tenant(self, *flow_ids: UUID | None) -> bool:
        """Return whether a master row of one of these ids belongs to somebody else."""
        master = CrewAIFlowStateExtensions
        is_own = and_(
            master.client_account_id == self._client_account_id, master.engagement_id == self._engagement_id
        )
        found = (
            select(master.flow_id).where(master.flow_id.in_(filter(None, flow_ids)), not_(is_own)).limit(1)
        )
        return await self._db.scalar(found) is not None

    def _key(self, flow_id: UUID | str) -> dict[str, UUID]:
        return {
            "flow_id": flow_uuid(flow_id),
            "client_account_id": self._client_account_id,
            "engagement_id": self._engagement_id,
        }

    async def _update_child(self, key: dict[str, UUID], parameters: dict[str, Any]) -> RowMapping:
        table = await find_table(self._db, DISCOVERY)
        course = self._course_of(table)
        percents = [percent_of(complete, len(course)) for complete in range(len(course) + 1)]
        update = statement("update_child_phase", **completions(table, course))
        rows = await self._db.execute(update, {**key, **parameters, "percents": percents})
        child = rows.mappings().first()
        if child is None:
            flow = key["flow_id"]
            if await self._db.scalar(select(DiscoveryFlow.flow_id).filter_by(flow_id=flow)):
                raise await foreign_flow(self._db, flow, **_MISSING)
            raise await no_such_flow(self._db, flow, **_MISSING)
        return child

    def _course_of(self, table: FoundTable) -> Phases:
        if self._course:
            return _TABLE.courses[self._course]
        there = [course for course in _TABLE.courses.values() if table.keeps(course)]
        return there[0] if there else DISCOVERY.child_courses[0]

    async def _report_to_master(
        self, child: RowMapping, phase: str, *, completed: bool, duration_ms: float | None
    ) -> None:
        flow_id, insights = child["master_flow_id"], child["fresh_insights"]
        user_id = self._user_id or child["user_id"]
        master = CrewAIFlowStateExtensionsRepository(
            self._db, self._client_account_id, self._engagement_id, user_id
        )
        summary = {"progress_percentage": child["progress_percentage"], "new_insights": len(insights)}
        await master.add_phase_transition(flow_id, phase, "completed" if completed else "processing", summary)
        if duration_ms is not None:
            await master.record_phase_execution_time(flow_id, phase, duration_ms)
        for insight in insights[-_MAX_INSIGHTS:]:
            await master.append_agent_collaboration(flow_id, _in_few_words(insight, phase))


def _in_few_words(insight: object, phase: str) -> dict[str, Any]:
    """Return a collaboration entry of an insight, of whichever of the known shapes it is."""
    known = insight if isinstance(insight, dict) else {"insight": insight}

    def first_of(*names: str) -> Any:
        found = next((known[name] for name in names if known.get(name) is not None), None)
        return safe_text(found, max_chars=_MAX_INSIGHT_CHARS) if isinstance(found, str) else found

    entry = {
        "action": "insight",
        "agent": first_of("agent", "agent_name"),
        "phase": phase,
        "insight": first_of("insight", "title", "description"),
        "insight_type": first_of("insight_type", "category"),
        "confidence": first_of("confidence", "confidence_score"),
    }
    return {name: value for name, value in entry.items() if isinstance(value, str | int | float)}
