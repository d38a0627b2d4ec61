"""What the tracker tells, caught before it reaches the outbox."""

from typing import Any
from uuid import UUID

from masterflow.domain import FlowContext
from masterflow.domain.events import Event, PhaseTransitioned, ProgressReported, StatusChanged, new_event

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")
FLOW_ID = UUID(int=3)


class Told(list[Any]):
    """The events told so far, each a valid one."""

    def report(self, kind: type[Event], context: FlowContext, flow_id: UUID, **fields: Any) -> None:
        self.append(new_event(kind, context, flow_id, **fields))

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]

    @property
    def transitions(self) -> list[str]:
        return [f"{event.phase}:{event.status}" for event in self.of(PhaseTransitioned)]

    @property
    def statuses(self) -> list[str]:
        return [event.status for event in self.of(StatusChanged)]

    @property
    def snapshot(self) -> dict[str, Any]:
        snapshot: dict[str, Any] = self.of(ProgressReported)[-1].snapshot
        return snapshot

    def facts(self, transition: str) -> dict[str, Any]:
        facts: list[dict[str, Any]] = [
            event.metadata
            for event in self.of(PhaseTransitioned)
            if f"{event.phase}:{event.status}" == transition
        ]
        return facts[-1]
