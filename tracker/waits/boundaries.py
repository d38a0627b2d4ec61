"""Where a flow does what people want of it: it ends, or waits until somebody lets it go on."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from masterflow.tracker.control.registry import FlowControl
from masterflow.tracker.control.requests import FlowStopped, Message
from masterflow.tracker.outbox.process import process_delivery

#: Whether a phase ends where somebody asks the flow to stop: at its boundaries, or at its next `await` too.
Stoppable = bool | Literal["await"]


class ObedientFlow(Protocol):
    """A flow as its boundaries see it."""

    @property
    def control(self) -> FlowControl:
        """What people want of it."""

    def pause(self, request: Message) -> None:
        """Tell that it waits because somebody wants it to."""

    def go_on(self, request: Message | None) -> None:
        """Tell that it goes on, and who let it."""


def obey(flow: ObedientFlow) -> None:
    """End the flow here, if somebody asked for it, or hold this thread while it is to pause.

    It ends by FlowStopped. In the thread of an event loop it does not pause, which would hold up all else.
    """
    process_delivery.attend()
    control = flow.control
    control.raise_if_stopped()
    if (request := control.pause) is None:
        return
    if is_in_loop():
        process_delivery.losses.log.warning(
            "pause", "A phase cannot pause its event loop: enter it by `async with phase(...)`."
        )
        return
    flow.pause(request)
    woken = threading.Event()
    with control.heard_by(woken.set):
        while control.pause is not None and control.stop is None:
            woken.wait()
            woken.clear()
    _leave_pause(flow)


async def obey_async(flow: ObedientFlow) -> None:
    """Do the same, and let the event loop go on meanwhile."""
    process_delivery.attend()
    control = flow.control
    control.raise_if_stopped()
    if (request := control.pause) is None:
        return
    flow.pause(request)
    with Waker(control) as woken:
        while control.pause is not None and control.stop is None:
            await woken.wait()
    _leave_pause(flow)


def _leave_pause(flow: ObedientFlow) -> None:
    flow.control.raise_if_stopped()
    flow.go_on(flow.control.newest_resume)


def is_in_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    return asyncio._get_running_loop() is not None  # noqa: SLF001  the public one raises instead


class Waker:
    """Wakes a task of the running loop whenever something is wanted of its flow."""

    def __init__(self, control: FlowControl) -> None:
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._number = -1

    def __enter__(self) -> "Waker":
        self._number = self._control.listen(self._wake)
        return self

    def __exit__(self, *_: object) -> None:
        self._control.forget(self._number)

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when something new is wanted, or the time is over."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout_s)
        except TimeoutError:
            return
        self._news.clear()

    def _wake(self) -> None:
        call_in(self._loop, self._news.set)


def stop_of_task(flow: ObedientFlow) -> "TaskStop | None":
    """Return what cancels the running task if somebody asks the flow to stop; None in plain code."""
    task = asyncio.current_task() if is_in_loop() else None
    return None if task is None else TaskStop(flow.control, task)


class TaskStop:
    """Cancels the task that runs a block as soon as somebody asks its flow to stop."""

    def __init__(self, control: FlowControl, task: "asyncio.Task[Any]") -> None:
        self._control = control
        self._task = task
        self._loop = task.get_loop()
        self._cancelling = task.cancelling()
        self._is_left = self._has_cancelled = False
        self._number = control.listen(self._notice)
        # What came between the boundary and here.
        self._notice()

    def leave(self, error: BaseException | None) -> FlowStopped | None:
        """End it with the block; return what stands for the cancellation that was ours, if it is that."""
        self._is_left = True
        self._control.forget(self._number)
        if not self._has_cancelled:
            return None
        # One that somebody else cancelled as well stays cancelled.
        is_ours = self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)
        stop = self._control.stop
        return FlowStopped(stop, self._control.flow_id) if is_ours and stop is not None else None

    def _notice(self) -> None:
        if self._control.stop is not None:
            call_in(self._loop, self._cancel)

    def _cancel(self) -> None:
        if not self._is_left and not self._has_cancelled:
            self._has_cancelled = True
            self._task.cancel(_MESSAGE)


_MESSAGE: Final = "Somebody asked its flow to stop."


def call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Let a loop call something, from any thread; in one that is closed nobody waits."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        return
