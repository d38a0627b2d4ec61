"""A question to a human, which its flow waits for: `await tracker.ask(...)`, or `tracker.ask(...).wait()`."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, Protocol, TypeVar, cast
from uuid import UUID, uuid4

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from masterflow.domain import InputInvalid
from masterflow.domain.events import (
    Event,
    Outcome,
    QuestionAsked,
    QuestionSettled,
    describe,
    question_id,
)
from masterflow.domain.payload.answers import Options
from masterflow.tracker.control.registry import FlowControl
from masterflow.tracker.control.requests import FlowStopped, Message
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.waits.boundaries import Waker, is_in_loop

T = TypeVar("T")

#: No default was given, as None is one.
NO_DEFAULT: Final[Any] = object()

_options: Final[TypeAdapter[tuple[str, ...]]] = TypeAdapter(Options)

_LONGEST_TIMEOUT_S: Final = 10 * 365 * 86_400.0


class AskingFlow(Protocol):
    """A flow as its questions see it."""

    @property
    def flow_id(self) -> UUID | str:
        """The id of its row."""

    @property
    def control(self) -> FlowControl:
        """What people want of it."""

    @property
    def phase_here(self) -> str | None:
        """The phase around the caller."""

    def ask(self, question: object, text: str, *, for_approval: bool) -> None:
        """Tell that it waits for the answer."""

    def stop_asking(self, question: object) -> None:
        """Tell that it goes on, once it waits for no other."""

    def tell(self, kind: type[Event], **fields: object) -> None:
        """Report something."""


class Answers(Generic[T]):
    """Which values answer a question, and what the code that asked gets for them."""

    def __init__(self, options: Sequence[str], model: Any) -> None:
        """Take what is allowed.

        Raises:
            InputInvalid: there are both options and a model, or either is none.
        """
        if options and model is not None:
            raise InputInvalid("A question has options, or a model for its answer, not both.")
        try:
            shown = _options.validate_python(options if isinstance(options, str) else list(options))
        except ValidationError as error:
            raise InputInvalid(describe(error)) from error
        #: The options as people see them, and as the code knows them.
        self.options = dict(zip(shown, options, strict=True))
        self._adapter = None if model is None else _adapter(model)

    @property
    def schema(self) -> dict[str, Any] | None:
        """Return the JSON schema of an answer, if there is one."""
        return None if self._adapter is None else self._adapter.json_schema()

    def read(self, answer: Any) -> T:
        """Return what an answer is to the code that asked.

        Raises:
            InputInvalid: it is none of the options, or does not have the form of the model.
        """
        if self.options:
            if not isinstance(answer, str) or answer not in self.options:
                raise InputInvalid(f"it is none of {', '.join(self.options)}")
            return cast("T", self.options[answer])
        if self._adapter is None:
            return cast("T", answer)
        try:
            return cast("T", self._adapter.validate_python(answer))
        except ValidationError as error:
            said = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in error.errors()[:5]
            )
            raise InputInvalid(f"it does not have the form that was asked for: {said}") from error

    def plain(self, value: Any) -> Any:
        """Return a value of the code, such as its default, as JSON has it."""
        return value if self._adapter is None else self._adapter.dump_python(value, mode="json")


class Question(Generic[T]):
    """What the flow asked: await it, or `wait()` for it in plain code.

    Whoever waits ends with FlowStopped if somebody asks the flow to stop, and without a default with
    TimeoutError when nobody answered in time. Giving up the wait withdraws the question, unless it has a
    key: then it stays open for the process that asks again.
    """

    def __init__(
        self,
        flow: AskingFlow,
        text: str,
        *,
        answers: Answers[T],
        key: str | None,
        timeout_s: float | None,
        default: Any,
    ) -> None:
        """Ask; `tracker.ask` does it."""
        self.text = _checked_text(text)
        self.key = key or f"ask-{uuid4().hex[:12]}"
        self._flow = flow
        self._answers = answers
        self._is_kept = key is not None
        self._default = default
        self._timeout_s = _checked_timeout(timeout_s)
        self._deadline: float | None = None
        self._count_from(datetime.now(UTC))
        self.id = self._next_id()
        self._refused: set[UUID] = set()
        self._result: Callable[[], T] | None = None
        self._settling = threading.RLock()
        self._ask()

    def __repr__(self) -> str:
        return f"<Question {self.key}: {self.text!r:.80}>"

    @property
    def is_over(self) -> bool:
        """Return whether there is an answer, or will be none."""
        return self._result is not None

    def wait(self) -> T:
        """Return the answer; it holds its thread, so in an event loop await the question instead.

        Raises:
            RuntimeError: an event loop runs in this thread.
        """
        if is_in_loop():
            raise RuntimeError("Await the question: wait() would hold up the event loop of this thread.")
        woken = threading.Event()
        try:
            with self._flow.control.heard_by(woken.set):
                while not self._is_settled():
                    woken.wait(self._left_s())
                    woken.clear()
        except BaseException:
            self._give_up()
            raise
        return self._answer()

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> T:
        try:
            with Waker(self._flow.control) as woken:
                while not self._is_settled():
                    await woken.wait(self._left_s())
        except BaseException:
            self._give_up()
            raise
        return self._answer()

    def _next_id(self) -> UUID:
        return _id_of(self._flow.flow_id, self.key, self._flow.control.rounds[self.key])

    def _ask(self) -> None:
        for_approval = bool(self._answers.options)
        self._flow.tell(
            QuestionAsked,
            event_id=self.id,
            key=self.key,
            question=self.text,
            options=list(self._answers.options),
            answer_schema=self._answers.schema,
            expires_at=self._expires_at(),
            has_default=self._default is not NO_DEFAULT,
            default=None if self._default is NO_DEFAULT else self._answers.plain(self._default),
            phase=self._flow.phase_here,
        )
        self._flow.ask(self, self.text, for_approval=for_approval)
        process_delivery.attend()

    def _expires_at(self) -> datetime | None:
        if self._timeout_s is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=self._timeout_s)

    def _left_s(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _is_settled(self) -> bool:
        """Return whether the question is over by now, and tell it the first time."""
        with self._settling:
            if self._result is not None:
                return True
            control = self._flow.control
            if (stop := control.stop) is not None:
                self._end("withdrawn", _raising(FlowStopped(stop, control.flow_id)))
                return True
            for message in control.answers(self.id):
                if message.request_id not in self._refused and self._take(message):
                    return True
            if (before := control.asked_before(self.id)) and self._follow(before):
                return self._is_settled()
            if self._result is None and self._left_s() == 0:
                self._time_out()
        return self._result is not None

    def _follow(self, before: Message) -> bool:
        """Count its time from when it was asked first; return whether it was asked anew instead.

        That is so where it ended without an answer. Where nobody answered in time and there is a default,
        that is what the former process went on with.
        """
        if before.outcome is None:
            self._count_from(before.at)
        elif before.outcome == "timed_out" and self._default is not NO_DEFAULT:
            self._time_out()
        else:
            self._flow.control.rounds[self.key] += 1
            self.id = self._next_id()
            self._count_from(datetime.now(UTC))
            self._ask()
            return True
        return False

    def _count_from(self, at: datetime) -> None:
        if self._timeout_s is not None:
            passed_s = (datetime.now(UTC) - at).total_seconds()
            self._deadline = time.monotonic() - passed_s + self._timeout_s

    def _take(self, message: Message) -> bool:
        """Take an answer; one of a wrong form is told back, and the question stays open."""
        try:
            value = self._answers.read(message.answer)
        except InputInvalid as problem:
            self._refused.add(message.request_id)
            process_delivery.losses.log.warning(
                f"answer {message.request_id}",
                "The answer of %s to %r is refused: %s.",
                message.by,
                self.text,
                problem,
            )
            self._tell("refused", message)
            return False
        self._end("answered", lambda: value, message)
        return True

    def _time_out(self) -> None:
        if self._default is NO_DEFAULT:
            late = TimeoutError(f"Nobody answered {self.text!r} within {self._timeout_s:g} s.")
            self._end("timed_out", _raising(late))
        else:
            self._end("timed_out", lambda: cast("T", self._default))

    def _end(self, outcome: Outcome, result: Callable[[], T], message: Message | None = None) -> None:
        self._result = result
        self._flow.control.rounds[self.key] += 1
        self._tell(outcome, message)
        # A flow that stops does not go on before.
        if outcome != "withdrawn" or self._flow.control.stop is None:
            self._flow.stop_asking(self)

    def _tell(self, outcome: Outcome, message: Message | None) -> None:
        value = message.answer if message else None
        if outcome == "timed_out" and self._default is not NO_DEFAULT:
            value = self._answers.plain(self._default)
        request_id = message.request_id if message else None
        self._flow.tell(
            QuestionSettled, question_id=self.id, outcome=outcome, request_id=request_id, value=value
        )

    def _give_up(self) -> None:
        with self._settling:
            if self._result is None and not self._is_kept:
                gone = RuntimeError(f"The question {self.text!r} was withdrawn: its wait was given up.")
                self._end("withdrawn", _raising(gone))

    def _answer(self) -> T:
        if self._result is None:
            raise RuntimeError("The question is still open.")
        return self._result()


def _raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def _checked_text(text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InputInvalid(f"{text!r:.80} is no question; pass its text.")
    return text


def _checked_timeout(timeout_s: float | None) -> float | None:
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if timeout_s is not None and not (is_number and 0 <= timeout_s <= _LONGEST_TIMEOUT_S):
        raise InputInvalid(f"{timeout_s!r:.40} is no time-out; pass seconds, at most ten years of them.")
    return timeout_s


def _id_of(flow_id: UUID | str, key: str, round_number: int) -> UUID:
    if not isinstance(flow_id, UUID):
        raise InputInvalid(f"{flow_id!r:.80} is no flow id, so nobody could answer.")
    return question_id(flow_id, key, round_number)


def _adapter(model: Any) -> "TypeAdapter[Any]":
    try:
        return TypeAdapter(model)
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
        raise InputInvalid(f"{model!r:.80} is no model of an answer: {error!s:.200}") from error
