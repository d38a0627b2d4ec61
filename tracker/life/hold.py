"""Why a flow is held: a tracker's blocks, its open attempts, or that it lives and the flow runs."""

import time
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from masterflow.domain import FlowContext
from masterflow.domain.clock import clock, to_microseconds
from masterflow.domain.interruptions import pass_interruption
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.signs import Held, OpenPhase
from masterflow.domain.statuses import FINAL_STATUSES, FlowStatus
from masterflow.tracker.life.holdings import process_holdings

#: Whoever waits for a human, or has ended, runs nowhere.
_AT_REST: Final = FINAL_STATUSES | {"failed", "paused", "waiting_for_approval"}


class Hold:
    """What one tracker knows of whether its flow runs in this process; `review` is for after each change.

    A flow is held inside a `with tracker:` block, while an attempt that began here is open, and by a tracker
    that was never used as a block for as long as it lives and the flow runs. A block that is left with the
    flow open has handed it over. A forked child holds only what it begins itself.
    """

    def __init__(self, flow_id: UUID | str, context: FlowContext, attempts: Collection[Any]) -> None:
        self.flow_type: str | None = None
        self.phase: str | None = None
        self.flow_deadline_at: datetime | None = None
        self.is_held = False
        self._since: dict[Any, int] = {}
        self._flow_id = flow_id
        self._context = context
        self._attempts = attempts
        self._blocks = 0
        self._is_free = True
        self._home = process_holdings.now
        self._inherited: frozenset[Any] = frozenset()

    def learn(self, flow_type: str | None, deadline_at: datetime | None) -> None:
        """Note what a sign tells of the flow itself."""
        self.flow_type, self.flow_deadline_at = flow_type, deadline_at

    def enter(self, status: FlowStatus) -> None:
        """Note that a block is entered."""
        self._settle_in()
        self._blocks += 1
        self._is_free = False
        self.review(status)

    def leave(self, status: FlowStatus) -> None:
        """Note that a block is left."""
        self._settle_in()
        self._blocks = max(0, self._blocks - 1)
        self.review(status)

    def lend(self) -> None:
        """Note that others hold the flow while it runs: only what begins here does so besides."""
        self._is_free = False

    def review(self, status: FlowStatus) -> None:
        """Hold the flow, or let it go, as things are now; raises nothing of its own."""
        self._settle_in()
        if self._is_wanted(status) is not self.is_held:
            try:
                self._change()
            except Exception as error:  # noqa: BLE001  nothing that a hook is given may stop its flow
                pass_interruption(error)
                self._home.failure = error

    def sign(self, flow: HeldFlow) -> Held:
        """Return what a sign tells of the flow: its open phases, and since when they are."""
        attempts = tuple(self._attempts)
        self._since = {attempt: self._since.get(attempt) or _began_at(attempt) for attempt in attempts}
        phases = {
            attempt.phase: OpenPhase(since, _microseconds(attempt.deadline_at))
            for attempt, since in self._since.items()
        }
        return Held(flow, self.phase, phases, _microseconds(self.flow_deadline_at))

    def _is_wanted(self, status: FlowStatus) -> bool:
        if status in _AT_REST:
            return False
        if self._blocks or (self._is_free and status != "initialized"):
            return True
        if not self._inherited:
            return bool(self._attempts)
        return any(attempt not in self._inherited for attempt in tuple(self._attempts))

    def _settle_in(self) -> None:
        """Forget, after a fork, what the parent holds."""
        if self._home is not process_holdings.now:
            self._home = process_holdings.now
            self._blocks, self._is_free, self.is_held = 0, False, False
            began_s = self._home.began_s
            self._inherited = frozenset(one for one in tuple(self._attempts) if one.began_s < began_s)

    def _change(self) -> None:
        flow_id = self._flow_id
        if not (isinstance(flow_id, UUID) and isinstance(self._context, FlowContext)):
            return
        if self.is_held:
            self.is_held = False
            self._home.release(flow_id, id(self))
            return
        self.is_held = True
        since = clock.tick_microseconds(flow_id)
        self._home.hold(self, HeldFlow(flow_id, self._context, self.flow_type, since))
        process_holdings.begin()


def _microseconds(at: datetime | None) -> int | None:
    return None if at is None else to_microseconds(at)


def _began_at(attempt: Any) -> int:
    """Return when an attempt began, in microseconds since 1970: a little late rather than early.

    What ended before it must not seem to have ended since.
    """
    return clock.tick_microseconds() - int((time.monotonic() - attempt.began_s) * 1e6) + 1_000
