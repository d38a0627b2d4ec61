"""The master row by its tenant: create it, read it, and report what happened to its flow."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import Unpack

from masterflow.domain import InputInvalid, TenantMismatch
from masterflow.domain.errors import UpdateSkipped
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ErrorOccurred,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    StatusChanged,
    new_event,
)
from masterflow.domain.ids import external_id, flow_uuid
from masterflow.domain.payload.safe import safe_text
from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.tenant import MAX_USER_CHARS, flow_context
from masterflow.repository.database import translated_errors
from masterflow.repository.documents import document_of, document_text
from masterflow.repository.merge.merges import apply_events
from masterflow.repository.rights.row_security import foreign_flow, no_such_flow
from masterflow.repository.settings import FlagSettings
from masterflow.repository.states import state_document
from masterflow.repository.tables import CrewAIFlowStateExtensions

_MAX_NAME_CHARS = 255

EventKind = TypeVar("EventKind", bound=AnyEvent)


class Identity(TypedDict, total=False):
    """When something happened and under which id; a repetition under the same id changes nothing."""

    event_id: UUID | str | None
    occurred_at: datetime | None


class CrewAIFlowStateExtensionsRepository:
    """The master rows of one tenant; every call joins the caller's transaction and never commits.

    What happened is merged by the database, so no session needs to have read the row, and any number of
    them may report at once. Every call may raise DatabaseUnavailable (try again in a new transaction);
    reports also raise FlowNotFound (FlowHidden where a row-level security policy may hide the row),
    TenantMismatch and InputInvalid. With enrichment switched off, all reports but `update_flow_status` do
    nothing.
    """

    def __init__(
        self,
        db: AsyncSession,
        client_account_id: UUID | str,
        engagement_id: UUID | str,
        user_id: UUID | str,
        *,
        enrichment_enabled: bool | None = None,
    ) -> None:
        """Scope the repository to a tenant, or raise InputInvalid: there is no default one.

        `enrichment_enabled` is read from the environment if None.
        """
        self._db = db
        self._context = flow_context(client_account_id, engagement_id, user_id)
        if enrichment_enabled is None:
            enrichment_enabled = FlagSettings().enrichment_enabled
        self._enrichment_enabled = enrichment_enabled

    async def create_master_flow(
        self,
        flow_id: UUID | str,
        flow_type: str,
        user_id: UUID | str | None = None,
        flow_name: str | None = None,
        flow_configuration: Mapping[str, Any] | None = None,
        initial_state: Mapping[str, Any] | None = None,
    ) -> CrewAIFlowStateExtensions:
        """Create the flow's row, or return it unchanged if the tenant already has it.

        Raises:
            InputInvalid: the flow type is unknown, or an id is malformed.
            TenantMismatch: the id is taken by a flow of another tenant.
        """
        if flow_type not in FLOW_TYPES:
            raise InputInvalid(f"{flow_type!r:.80} is no flow type; use one of {', '.join(FLOW_TYPES)}.")
        flow = flow_uuid(flow_id)
        owner = self._context.user_id if user_id is None else str(user_id)
        row = {
            "id": uuid4(),
            "flow_id": flow,
            "client_account_id": self._context.client_account_id,
            "engagement_id": self._context.engagement_id,
            "user_id": owner.strip()[:MAX_USER_CHARS],
            "flow_type": flow_type,
            "flow_name": None if flow_name is None else safe_text(flow_name, max_chars=_MAX_NAME_CHARS),
            "flow_configuration": _storable(flow_configuration),
            "flow_persistence_data": state_document(initial_state or {}),
            "flow_metadata": external_id(flow_id),
        }
        table = CrewAIFlowStateExtensions
        query = insert(table).values(row).on_conflict_do_nothing(index_elements=[table.flow_id])
        async with translated_errors():
            await self._db.execute(query)
        created = await self.get_by_flow_id(flow)
        if created is None:
            raise TenantMismatch(f"The id {flow} cannot be used; use a new one.")
        return created

    async def get_by_flow_id(self, flow_id: UUID | str) -> CrewAIFlowStateExtensions | None:
        """Return the tenant's row as it stands in the database now, or None if our role sees none."""
        table = CrewAIFlowStateExtensions
        query = (
            select(table)
            .where(
                table.flow_id == flow_uuid(flow_id),
                table.client_account_id == self._context.client_account_id,
                table.engagement_id == self._context.engagement_id,
            )
            .execution_options(populate_existing=True)
        )
        async with translated_errors():
            return (await self._db.execute(query)).scalar_one_or_none()

    async def update_flow_status(
        self,
        flow_id: UUID | str,
        status: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        reopens: bool = False,
        **identity: Unpack[Identity],
    ) -> None:
        """Report the status; `metadata` merges into `flow_metadata`, `progress_data` as the snapshot.

        An older report never replaces a newer one, nothing follows `completed` or `cancelled`, and
        `failed` is left only by a report that `reopens` (an explicit retry or resume).
        """
        await self._report(
            StatusChanged, flow_id, status=status, reopens=reopens, metadata=metadata or {}, **identity
        )

    async def add_phase_transition(
        self,
        flow_id: UUID | str,
        phase: str,
        status: str,
        metadata: Mapping[str, Any] | None = None,
        **identity: Unpack[Identity],
    ) -> None:
        """Report that a phase entered a status; `processing` makes it the current phase."""
        await self._report(
            PhaseTransitioned, flow_id, phase=phase, status=status, metadata=metadata or {}, **identity
        )

    async def record_phase_execution_time(
        self, flow_id: UUID | str, phase: str, execution_time_ms: float, **identity: Unpack[Identity]
    ) -> None:
        """Report how long a phase took, in milliseconds."""
        await self._report(PhaseTimed, flow_id, phase=phase, execution_time_ms=execution_time_ms, **identity)

    async def append_agent_collaboration(
        self, flow_id: UUID | str, entry: Mapping[str, Any], **identity: Unpack[Identity]
    ) -> None:
        """Report what agents did; the entry's own `timestamp`, if it has one, says when."""
        await self._report(AgentCollaborated, flow_id, entry=entry, **identity)

    async def update_memory_usage_metrics(
        self, flow_id: UUID | str, metrics: Mapping[str, Any], **identity: Unpack[Identity]
    ) -> None:
        """Report memory metrics; they merge key by key."""
        await self._report(MemoryMeasured, flow_id, metrics=metrics, **identity)

    async def update_agent_performance_metrics(
        self, flow_id: UUID | str, metrics: Mapping[str, Any], **identity: Unpack[Identity]
    ) -> None:
        """Report performance metrics, `{agent: {...}}` or flat; they merge key by key."""
        await self._report(AgentPerformanceMeasured, flow_id, metrics=metrics, **identity)

    async def add_error_entry(
        self,
        flow_id: UUID | str,
        phase: str,
        error: str,
        details: Mapping[str, Any] | None = None,
        **identity: Unpack[Identity],
    ) -> None:
        """Report an error that a phase met."""
        await self._report(
            ErrorOccurred, flow_id, phase=phase, error=error, details=details or {}, **identity
        )

    async def increment_retry_count(self, flow_id: UUID | str, **identity: Unpack[Identity]) -> None:
        """Report a retry; a failed flow is processing again."""
        await self._report(FlowRetried, flow_id, **identity)

    async def update_flow_metadata(
        self, flow_id: UUID | str, metadata_updates: Mapping[str, Any], **identity: Unpack[Identity]
    ) -> None:
        """Report notes on the flow; they merge key by key."""
        await self._report(MetadataUpdated, flow_id, updates=metadata_updates, **identity)

    async def _report(self, kind: type[EventKind], flow_id: UUID | str, **fields: Any) -> None:
        event = new_event(kind, self._context, flow_id, **fields)
        if event.is_enrichment and not self._enrichment_enabled:
            return
        outcome = await apply_events(self._db, [event])
        if outcome.missing or outcome.hidden:
            raise await no_such_flow(self._db, flow_id, advice="create_master_flow makes one", is_update=True)
        if outcome.foreign:
            raise await foreign_flow(self._db, flow_id, advice="create_master_flow makes one", is_update=True)
        if outcome.skipped:
            raise UpdateSkipped(f"A trigger of the master table skips the update of flow {flow_id}.")


def _storable(document: Mapping[str, Any] | None) -> Any:
    return json.loads(document_text(document_of(document or {})))
