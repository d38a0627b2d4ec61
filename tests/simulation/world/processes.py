"""Orchestrators and workers: the real code of each, with the variables that a process has for itself."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from math import inf
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from celery.exceptions import Reject
from pydantic_core import from_json
from redis import RedisError

from masterflow.domain import counting
from masterflow.domain.clock import HybridClock, clock
from masterflow.domain.events import AnyEvent, Event, Lane
from masterflow.domain.records.reading import read_events
from masterflow.domain.tenant import FlowContext
from masterflow.tasks.control.telling import Teller
from masterflow.tasks.counters import Counters
from masterflow.tasks.delivery import message as delivery_message
from masterflow.tasks.delivery.parking import release_due
from masterflow.tasks.delivery.task import deliver
from masterflow.tasks.enqueue import QueueSettings
from masterflow.tasks.inbox.admission import Door, admit_batch
from masterflow.tasks.inbox.envelope import COMPANIONS
from masterflow.tasks.queues import APPLY_EVENTS
from masterflow.tasks.settings import WorkerSettings
from masterflow.tracker.control.registry import ControlRegistry, control_registry
from masterflow.tracker.life import holdings
from masterflow.tracker.outbox.process import ProcessDelivery, process_delivery
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.reentry import is_owned
from masterflow.tracker.report import report
from masterflow.tracker.tracker import create_progress_tracker
from tests.simulation.world.computers import Computer
from tests.simulation.world.database import Database
from tests.simulation.world.names import places_of
from tests.simulation.world.scheduler import ProcessKilled, Scheduler
from tests.simulation.world.servers import Broker, RedisServer

_close = os.close
_LOCK_POLL_S = 0.000_1
_IDLE_S = 5.0
_UPKEEP_S = 2.0
_YIELD_CHANCE = 0.02

#: Where the code reads what a real process has for itself.
OF_A_PROCESS = [
    (thing, places_of(thing)) for thing in (clock, counting.counters, process_delivery, control_registry)
]

#: What the activities of a process are called between whose calls of the system others run.
_INTERRUPTED = ("enrichment-outbox-sender", "enrichment-outbox-lookout", "worker")


class Process:
    """What dies, freezes and holds descriptors."""

    def __init__(self, scheduler: Scheduler, name: str, pid: int, computer: Computer) -> None:
        self.scheduler = scheduler
        self.name = name
        self.pid = pid
        self.computer = computer
        self.disk = computer.disk
        self.is_dead = False
        self.died_at = inf
        #: From when to when it stood still.
        self.freezes: list[tuple[float, float]] = []
        self.frozen_until = 0.0
        self.descriptors: set[int] = set()
        self._calls_left: int | None = None

    def enter(self) -> None:
        """Let the variables that a real process has for itself be this one's."""

    def before_call(self, name: str) -> bool:
        del name
        if self.is_dead:
            raise ProcessKilled
        if self._calls_left is not None:
            self._calls_left -= 1
            if self._calls_left < 0:
                return True
        scheduler = self.scheduler
        activity = scheduler.current
        is_interrupted = activity is not None and activity.name in _INTERRUPTED
        if is_interrupted and not self._is_locked() and scheduler.chance.random() < _YIELD_CHANCE:
            scheduler.pause(scheduler.chance.random() ** 4)
        return False

    def freeze(self, seconds: float) -> None:
        """Let nothing of it run for so long."""
        now = self.scheduler.now
        self.frozen_until = now + seconds
        self.freezes.append((now, self.frozen_until))

    def die_after(self, calls: int) -> None:
        """Let it be killed before, or within, one of its next calls of the system; or in a second."""
        self._calls_left = calls
        self.scheduler.at(self.scheduler.now + 1.0, self.kill)

    def die(self) -> None:
        """End, here and now: raises ProcessKilled."""
        self.end()
        self.scheduler.at(self.scheduler.now, lambda: self.scheduler.end_all(self))
        raise ProcessKilled

    def kill(self) -> None:
        """End it from outside."""
        if not self.is_dead:
            self.end()
            self.scheduler.end_all(self)

    def end(self) -> None:
        """Let the system take back what it holds, which runs no more."""
        self.is_dead, self.died_at = True, min(self.died_at, self.scheduler.now)
        for descriptor in self.descriptors:
            _close(descriptor)
        self.descriptors.clear()

    def _is_locked(self) -> bool:
        return False


@dataclass
class Told:
    """An event that a hook was given."""

    event: AnyEvent
    lane: Lane
    by: "Orchestrator"
    at: float
    #: Whether the hook has returned, which makes it a promise.
    is_done: bool = False


class Orchestrator(Process):
    """A process that reports: hooks, outbox, sender and all."""

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        pid: int,
        computer: Computer,
        *,
        settings: dict[str, Any],
    ) -> None:
        super().__init__(scheduler, name, pid, computer)
        self._holdings, self._dead = holdings.Holdings(), deque[str]()
        self.delivery = ProcessDelivery()
        self._own = (HybridClock(), counting.Counters(), self.delivery, ControlRegistry())
        self._begin = self.delivery.attend
        self.delivery._settings = OutboxSettings.model_validate({"spool_dir": computer.spool, **settings})
        self.fsync: str = settings["fsync"]
        self._append = self.delivery.append
        self.delivery.append = self._note_and_append  # type: ignore[assignment, method-assign]
        self._reporting: list[UUID] = []
        #: How wrong the host's clock was when the process first asked it.
        self.clock_error_s: float | None = None
        self.told: dict[UUID, Told] = {}
        #: The flows that it holds, and in which folders its reports lie, whose names are its own.
        self.holds: set[UUID] = set()
        self.names: set[str] = set()
        self.is_leaving = False
        self._trackers: list[Any] = []
        scheduler.leave()

    def enter(self) -> None:
        for (_, places), own in zip(OF_A_PROCESS, self._own, strict=True):
            for module, name in places:
                setattr(module, name, own)
        process = holdings.process_holdings
        process.now, process.dead, process.begin = self._holdings, self._dead, self._begin

    def report(self, kind: type[Event], context: FlowContext, flow_id: Any, fields: dict[str, Any]) -> None:
        """Call the hook, soon."""

        self._call(lambda: report(kind, context, flow_id, **fields))

    def hold(self, context: FlowContext, flow_id: UUID) -> None:
        """Enter a tracker's block, soon; it is never left."""

        def enter() -> None:
            tracker = create_progress_tracker(flow_id, context)
            tracker.__enter__()
            self._trackers.append(tracker)

        self._call(enter, then=lambda: self.holds.add(flow_id))

    def _call(self, work: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
        def hook() -> None:
            while self._is_locked():
                self.scheduler.pause(_LOCK_POLL_S)
            self._reporting = []
            if self.clock_error_s is None:
                self.clock_error_s = self.computer.wall_error_s
            work()
            for event_id in self._reporting:
                self.told[event_id].is_done = True
            if self.delivery._delivery is not None:
                self.names.add(self.delivery._delivery.outbox.sender_id)
            then()

        self.scheduler.spawn(self, "hook", hook)

    def adopt(self) -> None:
        """Take over what dead processes left, soon."""
        self.scheduler.spawn(self, "adopt", self.delivery.adopt)

    def exit(self) -> None:
        """End as a program does that is through."""

        def leave() -> None:
            self.is_leaving = True
            self.delivery._close_at_exit()
            self.die()

        self.scheduler.spawn(self, "exit", leave)

    @property
    def numbers(self) -> dict[str, int] | None:
        """Return what became of what was reported, unless a step is half done."""
        delivery = self.delivery._delivery
        if self.is_dead or delivery is None or self._is_locked():
            return None
        return delivery.outbox.numbers()

    def _note_and_append(self, lane: Any, text: bytes) -> None:
        now = self.scheduler.now
        for event in read_events(from_json(text)):
            self.told[event.event_id] = Told(event, lane, self, now)
            self._reporting.append(event.event_id)
        self._append(lane, text)

    def _is_locked(self) -> bool:
        delivery = self.delivery._delivery
        if is_owned(self.delivery._gate):
            return True
        if delivery is None:
            return False
        return is_owned(delivery.outbox.lock) or is_owned(delivery.outbox.own._writing)


class Worker(Process):
    """A process that merges what the broker has, by the code of the real task."""

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        pid: int,
        computer: Computer,
        *,
        broker: Broker,
        redis: RedisServer,
        database: Database,
        queue: QueueSettings,
        put_letters: Callable[[Sequence[Any]], int],
        flow_grace_s: float,
    ) -> None:
        super().__init__(scheduler, name, pid, computer)
        self._broker = broker
        self._taken: list[dict[str, Any]] = []
        client: Any = redis.client()
        self._redis = client
        self._queue = queue
        self.loop = SimpleNamespace(
            queue=queue,
            settings=WorkerSettings(flow_grace_s=flow_grace_s),
            teller=Teller(queue),
            counters=Counters(),
            redis=client,
            door=Door(client, queue),
            dead_letters=SimpleNamespace(put=lambda letters, is_vouched_for: put_letters(letters)),
            is_enabled=lambda: True,
            notices=SimpleNamespace(note=lambda events: None),
            run=lambda work, timeout_s=15.0: _completed(work(SimpleNamespace(begin=database.begin))),
        )
        scheduler.spawn(self, "worker", self._work)
        scheduler.spawn(self, "upkeep", self._look_after)

    def taken(self) -> list[dict[str, Any]]:
        """Return the messages that it has not acknowledged."""
        return self._taken

    def _work(self) -> None:
        while True:
            self._taken = []
            while len(self._taken) < self.scheduler.chance.choice((1, 1, 8)):
                if (message := self._broker.get()) is None:
                    break
                self._taken.append(message)
            if not self._taken:
                self._broker.wait(_IDLE_S)
                continue
            self.scheduler.pause(self.scheduler.chance.random() * 0.01)
            first, *others = self._taken
            try:
                deliver(_task(first, others), (), first, admit=admit_batch)
            except Reject:
                for message in self._taken:
                    self._broker.put(message)

    def _look_after(self) -> None:
        while True:
            self.scheduler.pause(_UPKEEP_S)
            with suppress(RedisError):
                release_due(
                    self._redis,
                    lambda message: self._broker.put(message["kwargs"]),
                    self._queue.worker_keys,
                    now=vars(delivery_message)["datetime"].now(UTC),
                )


def _task(message: dict[str, Any], others: Sequence[dict[str, Any]]) -> Any:
    companions = [(one["batch_id"], (), one, None) for one in others]
    request = SimpleNamespace(
        id=message["batch_id"], kwargsrepr=None, get=lambda name: companions if name == COMPANIONS else None
    )
    return SimpleNamespace(name=APPLY_EVENTS, request=request)


def _completed(work: Any) -> Any:
    """Run a coroutine that waits for nothing but the world's scheduler."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited for an event loop")
