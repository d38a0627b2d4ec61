"""A flow that stands still for people: for an answer, an approval, or until somebody lets it go on."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from masterflow.domain.events import Event, StatusChanged
from masterflow.domain.statuses import FINAL_STATUSES, FlowStatus
from masterflow.tracker.attempts import Attempt, attempts_here
from masterflow.tracker.control.registry import FlowControl
from masterflow.tracker.control.requests import Message
from masterflow.tracker.life.hold import Hold

_WAITING: Final = frozenset({"paused", "waiting_for_approval"})


class WaitingFlow:
    """The part of a flow's record that knows for whom it waits; its phases do not count meanwhile."""

    flow_id: UUID | str
    control: FlowControl
    hold: Hold
    status: FlowStatus
    phase: str | None
    message: str
    _open: set[Attempt]
    _reported_status: str

    def __init__(self) -> None:
        self._waiting: set[Attempt] = set()
        self._paused_phase: str | None = None
        #: The attempts that stand still for each question that is open.
        self._questions: dict[object, set[Attempt]] = {}

    # -- what the record has

    def enter(
        self, status: FlowStatus, message: str = "", *, why: Mapping[str, object] | None = None
    ) -> None:
        """Note the flow's status."""
        raise NotImplementedError

    def end(self, attempt: Attempt, status: str, facts: Mapping[str, object]) -> object:
        """Close an attempt."""
        raise NotImplementedError

    def end_attempt(
        self,
        attempt: Attempt,
        status: str | None,
        error: BaseException | str | None,
        facts: Mapping[str, object],
    ) -> None:
        """Close an attempt for whoever holds it."""
        raise NotImplementedError

    def persist(self, progress: Mapping[str, object]) -> None:
        """Report a snapshot."""
        raise NotImplementedError

    def progress_event(self, phase_status: str, *, phase: str | None = None) -> dict[str, object]:
        """Return a snapshot."""
        raise NotImplementedError

    def tell(self, kind: type[Event], **fields: object) -> None:
        """Report something."""
        raise NotImplementedError

    def transition(self, phase: str, status: str, facts: Mapping[str, object]) -> None:
        """Report that a phase entered a status."""
        raise NotImplementedError

    # -- what it makes of it

    @property
    def is_waiting(self) -> bool:
        """Return whether the flow waits for a human, or was stopped and waits to be resumed."""
        return self.status in _WAITING

    @property
    def phase_here(self) -> str | None:
        """Return the innermost phase around the caller, else the one that started last."""
        here = self._attempts_here()
        return here[-1].phase if here else self.phase

    def wait(self, message: str, *, for_approval: bool) -> None:
        """Let the flow wait for a human; its open phases stop counting.

        A phase that a hook opened in another task goes on working, so it goes on counting.
        """
        self._stand_still()
        self._paused_phase = phase = self.phase_here
        self.enter("waiting_for_approval" if for_approval else "paused", message)
        if phase:
            self.transition(phase, "paused", {"message": message, "awaiting_approval": for_approval})

    def resume(self, message: str) -> None:
        """Let the flow go on, also when it has failed or when another process paused it."""
        if self.status in FINAL_STATUSES:
            return
        self.reopen()
        self.message = message
        if phase := self._paused_phase or self.phase_here:
            self.transition(phase, "processing", {"message": message, "is_resumed": True})
        self._go_on()

    def reopen(self, *, why: Mapping[str, object] | None = None) -> None:
        """Let the flow run again, whatever its status is."""
        if self.status == "failed":
            self.control.try_again()
        self.status = self._reported_status = "processing"
        flags = {"is_processing": True, "awaiting_user_approval": False}
        self.tell(StatusChanged, status="processing", reopens=True, metadata={**flags, **(why or {})})
        self.hold.review(self.status)

    def ask(self, question: object, text: str, *, for_approval: bool) -> None:
        """Let the flow wait for an answer, beside whatever else it has asked."""
        self._questions[question] = self._stand_still()
        self.enter("waiting_for_approval" if for_approval else "paused", text)
        if phase := self._open_phase_here():
            self.transition(phase, "paused", {"message": text, "awaiting_approval": for_approval})
        self.persist(self.progress_event("awaiting_approval" if for_approval else "awaiting_input"))

    def stop_asking(self, question: object) -> None:
        """Let the phases of a question go on, and with the last one that is open the flow."""
        mine = self._questions.pop(question, set())
        if self._questions:
            self._go_on(mine.difference(*self._questions.values()))
            return
        self._resume_here(None)

    def pause(self, request: Message) -> None:
        """Let the flow wait, at a boundary where it obeys, because somebody asked for it."""
        self._stand_still()
        if self.status in FINAL_STATUSES or self.status == "paused":
            return
        reason = f": {request.reason}" if request.reason else "."
        why = {
            "paused_by": request.by, "pause_reason": request.reason, "pause_request": str(request.request_id)
        }  # fmt: skip
        self.enter("paused", f"{request.by} asked it to pause{reason}", why=why)
        if phase := self._open_phase_here():
            self.transition(phase, "paused", {"message": self.message, "awaiting_approval": False})
        self.persist(self.progress_event("paused"))

    def go_on(self, request: Message | None) -> None:
        """Let the flow run again after a pause, and tell who let it."""
        if self.status != "paused":
            return  # Another thread of it was faster.
        why = {"resumed_by": request.by, "resume_request": str(request.request_id)} if request else {}
        self._resume_here(why)

    def _resume_here(self, why: Mapping[str, object] | None) -> None:
        if self.status not in FINAL_STATUSES:
            self.reopen(why=why)
            self.message = ""
            if phase := self._open_phase_here():
                self.transition(phase, "processing", {"is_resumed": True})
        self._go_on()
        self.persist(self.progress_event("processing"))

    def _stand_still(self) -> set[Attempt]:
        here = self._attempts_here()
        waiting = {one for one in self._open.copy() if one in here or not (here and one.is_scoped)}
        for attempt in waiting:
            attempt.stop()
        self._waiting |= waiting
        return waiting

    def _open_phase_here(self) -> str | None:
        """Return the innermost phase around the caller that is open, else the one that started last."""
        here = [attempt.phase for attempt in self._attempts_here() if attempt in self._open]
        phases = {attempt.phase for attempt in self._open.copy()}
        return here[-1] if here else self.phase if self.phase in phases else None

    def _attempts_here(self) -> tuple[Attempt, ...]:
        here = attempts_here.get()
        return tuple(attempt for attempt in here if attempt.flow is self) if here else here

    def _end_wait_if_over(self) -> None:
        """Take a phase that starts for the human's answer, unless it starts beside the phase that waits."""
        if not self.is_waiting or self._questions:
            return
        elsewhere = (self._waiting & self._open).difference(self._attempts_here())
        if not any(one.is_scoped and not one.is_left for one in elsewhere):
            self._go_on()
            self.enter("processing")

    def _go_on(self, attempts: set[Attempt] | None = None) -> None:
        """Let attempts count again; without any, all that wait."""
        if attempts is None:
            waiting, self._waiting, self._paused_phase = self._waiting, set(), None
        else:
            waiting = attempts
            self._waiting -= attempts
        for attempt in waiting:
            attempt.go()
            if attempt.is_left:
                self.end(attempt, "completed", {})
