"""What a flow's code asks about what people want of it, and what it asks them."""

from collections.abc import Sequence
from typing import Any, TypeVar, overload

from masterflow.tracker.control.requests import StopRequest
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.waits.question import NO_DEFAULT, Answers, AskingFlow, Question

T = TypeVar("T")


class ControlledFlow:
    """The part of a tracker that people reach."""

    record: AskingFlow

    @property
    def stop_requested(self) -> StopRequest | None:
        """Return who asked the flow to stop; None while nobody has, or once it has ended.

        Nothing stops a flow but its own code: ask here, call `raise_if_stopped()`, or make its phases
        `stoppable`.
        """
        process_delivery.attend()
        return self.record.control.stop

    def raise_if_stopped(self) -> None:
        """Raise FlowStopped if somebody asked the flow to stop; it cancels a flow whose block it leaves."""
        process_delivery.attend()
        self.record.control.raise_if_stopped()

    @overload
    def ask(
        self,
        question: str,
        *,
        model: type[T],
        timeout_s: float | None = None,
        default: T = ...,
        key: str | None = None,
    ) -> Question[T]: ...
    @overload
    def ask(
        self,
        question: str,
        *,
        options: Sequence[str],
        timeout_s: float | None = None,
        default: str = ...,
        key: str | None = None,
    ) -> Question[str]: ...
    @overload
    def ask(
        self,
        question: str,
        *,
        timeout_s: float | None = None,
        default: Any = ...,
        key: str | None = None,
    ) -> Question[Any]: ...
    def ask(
        self,
        question: str,
        *,
        options: Sequence[str] = (),
        model: Any = None,
        timeout_s: float | None = None,
        default: Any = NO_DEFAULT,
        key: str | None = None,
    ) -> Question[Any]:
        """Ask a human, and let the flow wait: `await tracker.ask(...)`, or `tracker.ask(...).wait()`.

        It is asked when this is called, so several may be open at once. The answer is one of `options`, has
        the form of `model` (a pydantic model or any type that pydantic knows), or is any JSON. After
        `timeout_s` it is `default`, else a TimeoutError. A process that is started anew and asks with the
        same `key` finds the answer that came meanwhile. Waiting ends by FlowStopped
        once the flow is to stop.
        What is no question, or has no answer that could fit, is InputInvalid.
        """
        return Question(
            self.record,
            question,
            answers=Answers(options, model),
            key=key,
            timeout_s=timeout_s,
            default=default,
        )
