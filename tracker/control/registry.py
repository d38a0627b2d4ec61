"""Which flows this process has, and what is wanted of each: any thread may ask."""

import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

from masterflow.domain import FlowContext
from masterflow.tracker.control.requests import FlowStopped, Message, StopRequest

#: A client account and an engagement of it.
Tenant = tuple[UUID, UUID]

#: Answers that nobody in this process waits for must not add up without end.
_MOST_KEPT: Final = 200


class FlowControl:
    """What people want of one flow, as far as this process was told; all its trackers here share it.

    There is no lock: each change is one assignment, and a message that comes twice changes nothing.
    """

    def __init__(self, flow_id: UUID | str) -> None:
        self.flow_id = flow_id
        #: The flow has ended for good: what is wanted of it no longer matters.
        self.is_over = False
        #: How often each key was asked to its end.
        self.rounds: Counter[str] = Counter()
        self._stop: StopRequest | None = None
        self._newest_pause: Message | None = None
        self._answers: dict[UUID, Message] = {}
        self._asked_before: dict[UUID, Message] = {}
        self._listeners: dict[int, Callable[[], object]] = {}
        self._numbers = itertools.count()

    @property
    def stop(self) -> StopRequest | None:
        """Return who asked the flow to stop, unless it has ended."""
        return None if self.is_over else self._stop

    @property
    def pause(self) -> Message | None:
        """Return who asked the flow to pause, unless somebody let it go on since, or it has ended."""
        newest = self._newest_pause
        return newest if newest is not None and newest.action == "pause" and not self.is_over else None

    @property
    def newest_resume(self) -> Message | None:
        """Return who let the flow go on, if that was the last word."""
        newest = self._newest_pause
        return newest if newest is not None and newest.action == "resume" else None

    def answers(self, question_id: UUID) -> list[Message]:
        """Return the answers to a question, in the order in which they were given."""
        found = [one for one in tuple(self._answers.values()) if one.question_id == question_id]
        return sorted(found, key=lambda one: one.place)

    def asked_before(self, question_id: UUID) -> Message | None:
        """Return since when a question has been asked, and how it ended, if this process asks it again."""
        return self._asked_before.get(question_id)

    def raise_if_stopped(self) -> None:
        """Raise what the flow is to end by, if somebody asked for it.

        Raises:
            FlowStopped: somebody did.
        """
        if (stop := self.stop) is not None:
            raise FlowStopped(stop, self.flow_id)

    def try_again(self) -> None:
        """Forget who asked it to stop: that was before it failed and was tried again."""
        self._stop = None

    def take(self, message: Message) -> None:
        """Note what somebody wants, and wake whoever waits for it."""
        if message.action == "cancel":
            self._stop = self._stop or message.as_stop
        elif message.action == "answer":
            _keep(self._answers, message)
        elif message.action == "asked":
            _keep(self._asked_before, message)
        elif self._newest_pause is None or message.place > self._newest_pause.place:
            self._newest_pause = message
        for listener in tuple(self._listeners.values()):
            listener()

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call somebody whenever something is wanted, in whatever thread, as long as the block lasts."""
        number = self.listen(listener)
        try:
            yield
        finally:
            self.forget(number)

    def listen(self, listener: Callable[[], object]) -> int:
        """Call somebody whenever something is wanted, in whatever thread, until that number is forgotten."""
        number = next(self._numbers)
        self._listeners[number] = listener
        return number

    def forget(self, number: int) -> None:
        """Call that one no more."""
        self._listeners.pop(number, None)


def _keep(messages: dict[UUID, Message], message: Message) -> None:
    while len(messages) >= _MOST_KEPT:
        messages.pop(next(iter(messages)), None)
    messages[message.request_id] = message


_Flows = dict[Tenant, "WeakValueDictionary[UUID, FlowControl]"]


class ControlRegistry:
    """The flows that have a tracker in this process; a flow whose trackers are gone is forgotten."""

    def __init__(self) -> None:
        self._flows: _Flows = {}
        #: Who is shown each new flow: the kit for users' tests.
        self.greet: Callable[[FlowControl], None] | None = None
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    @contextmanager
    def apart(self, greet: Callable[[FlowControl], None]) -> Iterator[None]:
        """Know no flow from before, for a test, and show somebody each that is asked for meanwhile."""
        former = self._flows, self.greet
        self._flows, self.greet = {}, greet
        try:
            yield
        finally:
            self._flows, self.greet = former

    def control_of(self, context: FlowContext, flow_id: UUID | str) -> FlowControl:
        """Return what is wanted of a flow; of one without a tenant or an id that is one, nobody is told."""
        if not isinstance(context, FlowContext) or not isinstance(flow_id, UUID):
            return FlowControl(flow_id)
        tenant = (context.client_account_id, context.engagement_id)
        with self._lock:
            flows = self._flows.setdefault(tenant, WeakValueDictionary())
            found = flows.get(flow_id)
            if found is None:
                flows[flow_id] = found = FlowControl(flow_id)
        if self.greet is not None:
            self.greet(found)
        return found

    def tenants(self) -> set[Tenant]:
        """Return whose flows may be told something here; one that runs is enough to know it of its tenant."""
        with self._lock:
            for tenant in [tenant for tenant, flows in self._flows.items() if not flows]:
                del self._flows[tenant]
            return {tenant for tenant, flows in self._flows.items() if any(_may_be_told(flows))}

    def flows(self) -> list[FlowControl]:
        """Return the flows that this process has."""
        with self._lock:
            return [control for flows in self._flows.values() for control in flows.values()]

    def deliver(self, tenant: Tenant, flow_id: UUID, message: Message) -> bool:
        """Hand a message to its flow; return whether this process has it."""
        with self._lock:
            flows = self._flows.get(tenant)
            control = None if flows is None else flows.get(flow_id)
        if control is None:
            return False
        control.take(message)
        return True


def _may_be_told(flows: "WeakValueDictionary[UUID, FlowControl]") -> Iterator[bool]:
    for flow in flows.valuerefs():
        control = flow()
        yield control is not None and not control.is_over


#: This process's.
control_registry: Final = ControlRegistry()
