"""What real code waits with, on the world's clock instead of the machine's: `time`, `threading`, `Wake`."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from tests.simulation.world.scheduler import Activity, Scheduler

#: Friday, 2 January 2026.
EPOCH_S = 1_767_312_000
_UPTIME_S = 5_000.0
_POLL_S = 0.02


class VirtualTime:
    """Stands for the module `time`: its clocks are those of the host whose code runs."""

    CLOCK_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    CLOCK_MONOTONIC = time.CLOCK_MONOTONIC

    def __init__(self, scheduler: Scheduler, wall_error_s: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._wall_error_s = wall_error_s

    def monotonic(self) -> float:
        return _UPTIME_S + self._scheduler.now

    perf_counter = monotonic

    def time(self) -> float:
        return self.time_ns() / 1e9

    def time_ns(self) -> int:
        return EPOCH_S * 10**9 + int((self._scheduler.now + self._wall_error_s()) * 1e9)

    def clock_gettime_ns(self, _clock: int) -> int:
        return int(self.monotonic() * 1e9)

    def sleep(self, seconds: float) -> None:
        if self._scheduler.current is not None:
            self._scheduler.pause(seconds)

    def datetime_class(self) -> type[datetime]:
        """Return what stands for `datetime` where somebody asks it for the time."""
        ours = self

        class _Datetime(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = UTC) -> "_Datetime":
                return cls.fromtimestamp(ours.time(), tz)

        return _Datetime


class Threads:
    """Stands for the module `threading`: its threads are activities, and its locks are real."""

    Lock = threading.Lock
    RLock = threading.RLock
    local = threading.local

    def __init__(self, scheduler: Scheduler) -> None:
        class Thread(_Thread):
            pass

        Thread.scheduler = scheduler

        class Condition(_Condition):
            pass

        Condition.scheduler = scheduler

        class Wake(_Wake):
            pass

        Wake.scheduler = scheduler
        self.Thread, self.Condition, self.Wake = Thread, Condition, Wake


class _Thread:
    scheduler: Scheduler

    def __init__(
        self, target: Callable[..., Any], name: str, *, args: Sequence[Any] = (), daemon: bool = True
    ) -> None:
        del daemon
        self._target, self._args, self.name = target, args, name
        self._activity: Activity | None = None
        self.ident: int | None = None

    def start(self) -> None:
        current = self.scheduler.current
        assert current is not None, "a thread is started by a process"
        self.ident = 1
        self._activity = self.scheduler.spawn(current.host, self.name, lambda: self._target(*self._args))

    def is_alive(self) -> bool:
        return self._activity is not None and not self._activity.is_over

    def join(self, timeout: float) -> None:
        deadline = self.scheduler.now + timeout
        while self.is_alive() and self.scheduler.now < deadline:
            self.scheduler.pause(_POLL_S)


class _Condition:
    scheduler: Scheduler

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def notify_all(self) -> None:
        """Do nothing: whoever waits looks again by himself."""

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        deadline = self.scheduler.now + timeout
        while not (is_so := predicate()) and self.scheduler.now < deadline:
            self._lock.release()
            try:
                self.scheduler.pause(_POLL_S)
            finally:
                self._lock.acquire()
        return is_so


class _Wake:
    scheduler: Scheduler

    def __init__(self) -> None:
        self._is_up = False
        self._waiting: Activity | None = None

    def set(self) -> None:
        self._is_up = True
        if self._waiting is not None:
            self.scheduler.wake(self._waiting)

    def clear(self) -> None:
        self._is_up = False

    def wait(self, timeout_s: float | None = None) -> bool:
        if not self._is_up:
            self._waiting = self.scheduler.current
            try:
                self.scheduler.pause(timeout_s)
            finally:
                self._waiting = None
        was_up, self._is_up = self._is_up, False
        return was_up
