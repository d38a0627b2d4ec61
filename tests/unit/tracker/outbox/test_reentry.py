import dis
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from masterflow.tracker.outbox import lanes
from masterflow.tracker.reentry import Wake
from tests.support.events.outboxes import Process, contents

OUTBOX = str(Path(lanes.__file__).parent)


#: After these the interpreter looks for signals, and for what the garbage collector closes.
LOOKING = ("CALL", "RESUME", "JUMP_BACKWARD")


@cache
def names_of(code: CodeType) -> dict[int, str]:
    return {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}


class Instruction:
    """Does something where the interpreter looks for signals for the n-th time within the outbox."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left = number
        self._act = act
        self._former: dict[FrameType, str] = {}
        self.was_reached = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        former = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(former)
            self._former.clear()

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(OUTBOX):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not self.was_reached:
            former = self._former.get(frame, "")
            self._former[frame] = names_of(frame.f_code)[frame.f_lasti]
            self._left -= former.startswith(LOOKING)
            if self._left < 0:
                self.was_reached = True
                self._act()
        return self._trace


def within_a_minute(test: Callable[[], None]) -> None:
    """Fail instead of hanging; also where an assertion fails."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            test()
        except BaseException as problem:  # noqa: BLE001  told by the thread that waits
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it hangs"
    for problem in problems:
        raise problem


def every_instruction(
    process: Process, act: Callable[[int], object], do: Callable[[int], object]
) -> Iterator[tuple[int, BaseException | None]]:
    """Do something once for each of its instructions, with an act there; yield what it raised."""
    for number in range(100_000):
        instruction, raised = Instruction(number, partial(act, number)), None
        try:
            with instruction.watched():
                do(number)
        except BaseException as error:  # noqa: BLE001  that of the act
            raised = error
        yield number, raised
        if not instruction.was_reached:
            return


@pytest.fixture(params=[1, 100_000], ids=["a new file each time", "one file"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Process:
    return Process(tmp_path / "spool", segment_bytes=request.param)


def test_a_report_at_any_instruction_of_another_neither_hangs_nor_is_lost(process):
    def test() -> None:
        count = 0
        for number, raised in every_instruction(
            process, lambda number: process.say(f"within {number}"), process.say
        ):
            assert raised is None
            count = number
            process.check_numbers(process.outbox.numbers()["reported"])
        assert count > 10
        sent = contents(*(batch for _ in range(50) for batch in confirmed(process)))
        assert sorted(map(str, sent)) == sorted(
            [*map(str, range(count + 1)), *(f"within {number}" for number in range(count))]
        )
        assert process.check_numbers(2 * count + 1)["confirmed"] == 2 * count + 1

    within_a_minute(test)


def confirmed(process: Process) -> list[Any]:
    batches = process.send()
    process.confirm(*batches)
    return batches


def test_a_report_at_any_instruction_of_what_the_sender_does_is_kept(process):
    def test() -> None:
        expected: set[str] = set()
        sent: set[str] = set()

        def say(number: int) -> None:
            expected.add(f"within {number}")
            process.say(f"within {number}")

        def serve(number: int) -> None:
            sent.update(contents(*confirmed(process)))
            process.outbox.tidy()
            process.outbox.sync()

        for number, raised in every_instruction(process, say, serve):
            assert raised is None
            if number > 300:  # More than one round of everything.
                break
        for _ in range(10):
            serve(0)
        assert sent == expected
        process.check_numbers(len(expected))

    within_a_minute(test)


class TimeLimit(Exception):
    """What a signal handler raises."""


@pytest.mark.parametrize("kind", [TimeLimit, TimeoutError, KeyboardInterrupt])
def test_what_is_raised_at_any_instruction_passes_and_loses_nothing_that_was_returned(process, kind):
    def interrupt(_: int) -> None:
        raise kind("time is over")

    def test() -> None:
        returned: set[str] = set()
        count = 0
        for number, raised in every_instruction(process, interrupt, process.say):
            count = number
            assert isinstance(raised, kind) or (raised is None and not count < number)
            if raised is None:
                returned.add(str(number))
            process.say(f"after {number}")
            returned.add(f"after {number}")
        assert count > 10
        sent = set(map(str, contents(*(batch for _ in range(50) for batch in confirmed(process)))))
        assert returned <= sent
        numbers = process.outbox.numbers()
        assert (
            sum(numbers[name] for name in ("pending", "under_way", "confirmed", "lost"))
            == numbers["reported"]
        )
        assert (numbers["pending"], numbers["under_way"], numbers["lost"]) == (0, 0, 0)

    within_a_minute(test)


def test_a_flag_that_is_set_within_a_set_wakes_once(monkeypatch):
    wake = Wake()
    wake.set()
    wake.set()
    assert wake.wait(0)
    assert not wake.wait(0)
    wake.set()
    wake.clear()
    assert not wake.wait(0)


def test_a_flag_wakes_the_thread_that_waits():
    wake, woken = Wake(), threading.Event()

    def wait() -> None:
        wake.wait()
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not woken.wait(0.05)
    wake.set()
    assert woken.wait(5)
