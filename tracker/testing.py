"""What a test may ask about the reports of the code under test."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, overload
from uuid import UUID, uuid4

from masterflow.domain.clock import clock
from masterflow.domain.events import (
    AnyEvent,
    ErrorOccurred,
    Event,
    Lane,
    PhaseTransitioned,
    ProgressReported,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
)
from masterflow.domain.ids import flow_uuid
from masterflow.domain.records.reading import read_events
from masterflow.tracker.control.registry import FlowControl, control_registry
from masterflow.tracker.control.requests import Action, Message
from masterflow.tracker.outbox.memory import MemoryOutbox
from masterflow.tracker.outbox.process import process_delivery

E = TypeVar("E", bound=Event)


class People:
    """Whoever wants something of the flows under test, as a worker would tell it."""

    def __init__(self) -> None:
        self._wanted: list[tuple[UUID, Message]] = []
        #: Answers to what was not asked yet: key, answer, and by whom.
        self._answers: list[tuple[str, object, str]] = []

    def want(self, flow_id: UUID, action: Action, by: str, reason: str | None) -> None:
        """Ask something of a flow."""
        message = Message(uuid4(), action, by, clock.tick(), reason)
        self._wanted.append((flow_id, message))
        for control in control_registry.flows():
            if control.flow_id == flow_id:
                control.take(message)

    def answer(self, reported: Iterable[AnyEvent], key: str, value: object, by: str) -> None:
        """Answer the newest question of this key that is open, else the next one."""
        events = tuple(reported)
        settled = [event for event in events if isinstance(event, QuestionSettled)]
        over = {event.question_id for event in settled if event.outcome != "refused"}
        asked = [event for event in events if isinstance(event, QuestionAsked) and event.key == key]
        still_open = [question for question in asked if question.event_id not in over]
        if still_open:
            _answer(still_open[-1], value, by)
        else:
            self._answers.append((key, value, by))

    def hear(self, question: QuestionAsked) -> None:
        """Answer a question whose answer is there already."""
        prepared = next((one for one in self._answers if one[0] == question.key), None)
        if prepared is not None:
            self._answers.remove(prepared)
            _answer(question, *prepared[1:])

    def greet(self, control: FlowControl) -> None:
        """Ask a flow whose tracker is made for what was asked of it before."""
        for flow_id, message in self._wanted:
            if control.flow_id == flow_id:
                control.take(message)


def _answer(question: QuestionAsked, value: object, by: str) -> None:
    message = Message(uuid4(), "answer", by, clock.tick(), None, question.event_id, value)
    tenant = (question.client_account_id, question.engagement_id)
    control_registry.deliver(tenant, question.flow_id, message)


class _HeardOutbox(MemoryOutbox):
    """Shows people the questions that are reported."""

    def __init__(self, people: People) -> None:
        super().__init__()
        self._people = people

    def append(self, lane: Lane, event: bytes) -> None:
        super().append(lane, event)
        if b'"question_asked"' in event:
            for asked in read_events(json.loads(event)):
                if isinstance(asked, QuestionAsked):
                    self._people.hear(asked)


class FlowReports(Sequence[AnyEvent]):
    """The events that were reported so far, in order, as the worker would read them."""

    def __init__(self, memory: MemoryOutbox | None = None, people: People | None = None) -> None:
        self._memory = memory or MemoryOutbox()
        self._people = people or People()

    @overload
    def __getitem__(self, index: int) -> AnyEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnyEvent]: ...
    def __getitem__(self, index: int | slice) -> AnyEvent | list[AnyEvent]:
        return self.events[index]

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return repr(self.events)

    @property
    def events(self) -> list[AnyEvent]:
        """Return the events."""
        return [event for text in tuple(self._memory.events) for event in read_events(json.loads(text))]

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind, of `masterflow.domain.events`."""
        return [event for event in self.events if isinstance(event, kind)]

    def of_flow(self, flow_id: UUID | str | int) -> "FlowReports":
        """Return what was reported of one flow, as of now."""
        flow, found = str(flow_uuid(flow_id)), MemoryOutbox()
        found.events.extend(
            text for text in tuple(self._memory.events) if json.loads(text)["flow_id"] == flow
        )
        return FlowReports(found, self._people)

    @property
    def transitions(self) -> list[str]:
        """Return what phases entered, as `["data_import:processing", "data_import:completed"]`."""
        return [f"{event.phase}:{event.status}" for event in self.of(PhaseTransitioned)]

    @property
    def phases(self) -> dict[str, str]:
        """Return the newest status of each phase, as `{"data_import": "completed"}`."""
        return {event.phase: event.status for event in self.of(PhaseTransitioned)}

    @property
    def statuses(self) -> list[str]:
        """Return the statuses that flows entered."""
        return [event.status for event in self.of(StatusChanged)]

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Return each error with its phase, as `[("data_import", "no such file")]`."""
        return [(event.phase, event.error) for event in self.of(ErrorOccurred)]

    @property
    def snapshot(self) -> dict[str, Any]:
        """Return the newest progress snapshot; empty before the first."""
        snapshots = self.of(ProgressReported)
        return snapshots[-1].snapshot if snapshots else {}

    def facts(self, transition: str) -> dict[str, Any]:
        """Return what the newest transition such as `"data_import:completed"` says, or nothing."""
        found = [one for one in self.of(PhaseTransitioned) if f"{one.phase}:{one.status}" == transition]
        return found[-1].metadata if found else {}

    def answer(self, key: str, value: object, *, by: str = "test") -> None:
        """Answer the open question of this key, or the next one that the code under test asks."""
        self._people.answer(self.events, key, value, by)

    def request_stop(self, flow_id: UUID | str | int, reason: str | None = None, *, by: str = "test") -> None:
        """Ask a flow to stop, also one whose tracker is yet to be made."""
        self._people.want(flow_uuid(flow_id), "cancel", by, reason)

    def request_pause(
        self, flow_id: UUID | str | int, reason: str | None = None, *, by: str = "test"
    ) -> None:
        """Ask a flow to pause, also one whose tracker is yet to be made."""
        self._people.want(flow_uuid(flow_id), "pause", by, reason)

    def request_resume(self, flow_id: UUID | str | int, *, by: str = "test") -> None:
        """Let a flow go on that was asked to pause."""
        self._people.want(flow_uuid(flow_id), "resume", by, None)

    def clear(self) -> None:
        """Forget what was reported so far."""
        self._memory.events.clear()


@contextmanager
def flow_reports() -> Iterator[FlowReports]:
    """Keep the reports of this process in memory for a while: nothing reaches the disk or the network."""
    people = People()
    memory = _HeardOutbox(people)
    with process_delivery.redirected(memory), control_registry.apart(people.greet):
        yield FlowReports(memory, people)
