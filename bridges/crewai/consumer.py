"""The one thread that makes reports of what was captured, so that no flow waits for it."""

import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, Final

from masterflow.bridges.crewai.facts import DETAILS
from masterflow.bridges.crewai.fold import Fold, Report, Rules, Standing, Usage
from masterflow.bridges.crewai.holds import Holds
from masterflow.bridges.crewai.records import Record
from masterflow.domain import FlowContext
from masterflow.domain.clock import clock, from_microseconds, to_microseconds
from masterflow.domain.events import UsageReported
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.report import report
from masterflow.tracker.usage import used

#: What a handler puts into the queue: the fields of a record, with crewAI's own time.
Captured = tuple[str, str, datetime | None, str | None, str | None, int, dict[str, Any]]

# Long enough that records are dealt with together, and short enough that a row is watched live.
_TICK_S: Final = 0.1

# So many events within a tick are a flow whose methods do little; it is left alone for at most a second.
_BUSY_EVENTS: Final = 20
_MOST_TICKS: Final = 10

_MOST_WAITING: Final = 100_000


class Consumer:
    """Takes what handlers capture, in any thread, and reports what follows from it, in its own."""

    def __init__(
        self,
        rules: Rules,
        *,
        listen: Callable[[Record], object] | None = None,
        end: Callable[[str], object] | None = None,
    ) -> None:
        """`listen` is given each record, `end` the id of each kickoff that is over."""
        self.source = uuid.uuid4().hex
        self.shed_events = 0
        self.captured_events = 0
        self._listen = listen
        self._end = end
        self._holds = Holds()
        self._queue: SimpleQueue[Captured | None] = SimpleQueue()
        self._fold = Fold(rules, source=self.source)
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    def put(self, captured: Captured) -> None:
        """Keep what was captured; costs about a microsecond. A full queue does without details first."""
        waiting = self._queue.qsize()
        if waiting >= _MOST_WAITING and (captured[0] in DETAILS or waiting >= 2 * _MOST_WAITING):
            self.shed_events += 1
            process_delivery.losses.note("bridge_full", "crewAI tells faster than it can be reported.")
            return
        self._queue.put(captured)
        if self._thread is None:
            self._begin()

    def flush(self, timeout_s: float) -> None:
        """Report all that was captured before this call, and wait for what is still unpaired."""
        deadline = time.monotonic() + timeout_s
        while True:
            is_last = time.monotonic() >= deadline
            waits = self._drain(is_final=is_last)
            if is_last or not waits:
                return
            time.sleep(min(_TICK_S, max(0.0, deadline - time.monotonic())))

    def stop(self) -> None:
        """Report what was captured, and end the thread."""
        self._is_stopped = True
        self._drain(is_final=True)
        with self._lock:
            # Nobody would tell the end of what still runs.
            self._holds = Holds()
        self._queue.put(None)

    def status(self) -> dict[str, int]:
        """Return how many events were captured, wait, and were shed, and how many flows were nobody's."""
        return {
            "captured_events": self.captured_events,
            "waiting_events": self._queue.qsize(),
            "shed_events": self.shed_events,
            "ignored_flows": self._fold.ignored_flows,
        }

    def _begin(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="masterflow-crewai", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pid = os.getpid()
        while not self._is_stopped and os.getpid() == pid:
            first = self._queue.get()
            if first is None:
                continue
            self._queue.put(first)
            self._let_flows_run()
            while self._drain():
                time.sleep(_TICK_S)

    def _let_flows_run(self) -> None:
        """Wait until no flow is in a hurry: one of 80 empty methods takes a tenth longer beside our work."""
        for _ in range(_MOST_TICKS):
            waiting = self._queue.qsize()
            time.sleep(_TICK_S)
            if self._queue.qsize() - waiting < _BUSY_EVENTS:
                return

    def _drain(self, *, is_final: bool = False) -> bool:
        """Report what is ready; return whether anything waits for another record."""
        try:
            with self._lock:
                now_s = time.monotonic()
                with suppress(Empty):
                    while True:
                        captured = self._queue.get_nowait()
                        if captured is not None:
                            self._take(captured, now_s)
                for context, one in self._fold.reports(now_s, is_final=is_final):
                    if isinstance(one, Standing):
                        self._review(context, one)
                    else:
                        _send(context, one)
                    time.sleep(0)  # Whoever waits for the interpreter is a flow.
                return self._fold.waits
        except Exception as error:  # noqa: BLE001  the next records may be better ones
            process_delivery.losses.note("bridge", error)
            return False

    def _review(self, context: FlowContext, standing: Standing) -> None:
        self._holds.review(context, standing)
        if standing.is_over and self._end is not None:
            self._end(standing.kickoff)

    def _take(self, captured: Captured, now_s: float) -> None:
        kind, event_id, at, parent_id, started_id, sequence, facts = captured
        self.captured_events += 1
        # What is ahead of our clock was made by one that went back since.
        now = clock.tick_microseconds()
        taken_at = min(now, to_microseconds(at.astimezone(UTC))) if at is not None else now
        record = Record(kind, event_id, taken_at, parent_id, started_id, sequence, facts)
        if self._listen is not None:
            self._listen(record)
        self._fold.take(record, now_s)


def _send(context: FlowContext, one: Report | Usage) -> None:
    if isinstance(one, Report):
        report(
            one.kind, context, one.flow_id,
            event_id=one.event_id, occurred_at=from_microseconds(one.at), **one.fields,
        )  # fmt: skip
        return
    amounts = used(one.model, 1, one.input_tokens, one.output_tokens, None)
    report(UsageReported, context, one.flow_id, agent=one.agent, model=one.model, used=amounts)
