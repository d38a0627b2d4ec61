"""How a command fails: with one sentence that says what is wrong and what to do, and an exit code."""

import sys
from collections.abc import Iterable
from typing import Final, NoReturn

from masterflow.scripts.terminal.text import complain
from masterflow.tasks.check_result import CheckResult

#: Exit codes: something is not as it should be; the command was given nonsense; a server is away.
FAILED: Final = 1
MISUSED: Final = 2
UNAVAILABLE: Final = 3


def fail(sentence: str, exit_code: int = FAILED) -> NoReturn:
    """Say what is wrong, and end the process."""
    complain(sentence)
    sys.exit(exit_code)


def exit_code_of(results: Iterable[CheckResult]) -> int:
    """Return the exit code of the worst result: 0 if there is nothing but notes and warnings."""
    levels = {result.level for result in results}
    if "away" in levels:
        return UNAVAILABLE
    return FAILED if "problem" in levels else 0
