"""Who runs next, and what time it is: one thread, a clock of its own, and chance from one number."""

import heapq
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Protocol

from greenlet import getcurrent, greenlet

#: Nothing takes no time, or a loop that waits for nothing would go on for ever.
_INSTANT_S = 0.000_01


class ProcessKilled(BaseException):
    """What ends the code of a process that is no more, wherever it is."""


class Host(Protocol):
    """What an activity belongs to: a process of the world, or the world itself."""

    is_dead: bool
    frozen_until: float

    def enter(self) -> None:
        """Let the variables that a real process has for itself be this one's."""


class Activity:
    """One thread of a process: real code that runs until it waits for something."""

    def __init__(self, scheduler: "Scheduler", host: Host, name: str, work: Callable[[], Any]) -> None:
        self.host = host
        self.name = name
        self.pauses = 0
        #: How often it went on within this second.
        self.busy = 0
        self.second = 0
        self.is_over = False
        self._scheduler = scheduler
        self._work = work
        self._greenlet = greenlet(self._run, parent=scheduler.hub)

    def switch(self) -> None:
        """Let it run until it waits."""
        self._greenlet.switch()

    def end(self) -> None:
        """End it where it stands, because its process was killed."""
        if self._greenlet:
            self._scheduler.current = self
            self._scheduler.enter(self.host)
            try:
                self._greenlet.throw(ProcessKilled())
            finally:
                self._scheduler.current = None
        self.is_over = True

    def _run(self) -> None:
        try:
            self._work()
        except ProcessKilled:
            pass
        except Exception as error:  # noqa: BLE001  the world says which activity failed, and when
            self._scheduler.failures.append(error)
        finally:
            self.is_over = True


class Scheduler:
    """Runs activities one at a time, in an order that follows from the number alone."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.current: Activity | None = None
        self.failures: list[Exception] = []
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._entered: Host | None = None
        self.hub = getcurrent()
        #: What is done whenever an activity waits: the judge looks.
        self.look: Callable[[Activity], None] = lambda _: None
        self._activities: list[Activity] = []

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Do something at a moment."""
        self._count += 1
        heapq.heappush(self._calls, (max(moment, self.now), self._count, call))

    def spawn(self, host: Host, name: str, work: Callable[[], Any]) -> Activity:
        """Begin an activity, soon."""
        activity = Activity(self, host, name, work)
        self._activities = [one for one in self._activities if not one.is_over]
        self._activities.append(activity)
        self._resume(activity, self._shortly())
        return activity

    def pause(self, seconds: float | None) -> None:
        """Let others run for so long, or until somebody wakes the activity that runs."""
        activity = self.current
        assert activity is not None, "only an activity waits"
        if activity.host.is_dead:
            raise ProcessKilled
        activity.pauses += 1
        if seconds is not None:
            self._resume(activity, self.now + max(seconds, _INSTANT_S))
        self.hub.switch()
        if activity.host.is_dead:
            raise ProcessKilled

    def wake(self, activity: Activity) -> None:
        """End the pause of an activity, soon."""
        self._resume(activity, self._shortly())

    def end_all(self, host: Host) -> None:
        """End what a killed process was doing; nothing of it runs just now."""
        for activity in self._activities:
            if activity.host is host and not activity.is_over:
                activity.end()

    def run(self, until: Callable[[], bool], *, deadline: float) -> None:
        """Let time pass until something is so, nothing is left to do, or the deadline."""
        while self._calls and not self.failures and not until():
            moment, _, call = heapq.heappop(self._calls)
            if moment > deadline:
                heapq.heappush(self._calls, (moment, 0, call))
                self.now = deadline
                return
            self.now = moment
            call()

    def close(self, hosts: Iterable[Host]) -> None:
        """End everything."""
        for host in hosts:
            host.is_dead = True
        for activity in self._activities:
            if not activity.is_over:
                activity.end()

    def enter(self, host: Host) -> None:
        """Let the variables that a real process has for itself be those of this one."""
        if host is not self._entered:
            host.enter()
            self._entered = host

    def leave(self) -> None:
        """Note that these variables may be another process's, as it was just made."""
        self._entered = None

    def _shortly(self) -> float:
        return self.now + _INSTANT_S * (1 + self.chance.random())

    def _resume(self, activity: Activity, moment: float) -> None:
        pauses = activity.pauses
        self.at(moment, lambda: self._go_on(activity, pauses))

    def _go_on(self, activity: Activity, pauses: int) -> None:
        if activity.is_over or activity.pauses != pauses or activity.host.is_dead:
            return
        if activity.host.frozen_until > self.now:
            self.at(activity.host.frozen_until, lambda: self._go_on(activity, pauses))
            return
        activity.pauses += 1
        if activity.second != int(self.now):
            activity.second, activity.busy = int(self.now), 0
        activity.busy += 1
        self.current = activity
        self.enter(activity.host)
        try:
            activity.switch()
        finally:
            self.current = None
        self.look(activity)
