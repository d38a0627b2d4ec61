"""Where every program of ours begins and ends, whatever the encoding, the reader or the error."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, NoReturn, Protocol, runtime_checkable

from masterflow.domain.shown.harmless import harmless
from masterflow.scripts.terminal.encodings import open_what_is_closed, write_in_any_encoding
from masterflow.scripts.terminal.failures import fail
from masterflow.scripts.terminal.text import complain

#: The exit codes after Ctrl-C, and after whoever read the output has gone, as shells count them.
_INTERRUPTED: Final = 130
_UNREAD: Final = 141


@runtime_checkable
class Misuse(Protocol):
    """What Typer raises where the arguments are no command of ours, whichever Click it stands on."""

    exit_code: int

    def show(self, file: IO[Any] | None = None) -> None:
        """Write what is wrong, and how it is meant."""
        ...


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Turn the errors that a user or a server can cause into a sentence on stderr and an exit code."""
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        if isinstance(error, Misuse):
            _show(error)
        # What knows all errors loads more than all that a misuse needs.
        from masterflow.scripts.terminal.explanations import explanation  # noqa: PLC0415

        if (found := explanation(error)) is None:
            raise
        fail(*found)


def run_program(work: Callable[[], Any]) -> NoReturn:
    """Do a program's work and end the process with the exit code that it returns, 0 if that is None."""
    open_what_is_closed()
    write_in_any_encoding()
    try:
        with told_in_a_sentence():
            sys.exit(work())
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(_UNREAD)
    finally:
        _finish_output()


def _finish_output() -> None:
    """Write out what was printed, unless whoever read it has gone."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            fail(f"What was printed cannot be written ({error.strerror}).")


def _show(misuse: Misuse) -> NoReturn:
    # It may quote what was typed, and that may hold line breaks.
    if isinstance(message := getattr(misuse, "message", None), str):
        vars(misuse)["message"] = harmless(message)
    said = io.StringIO()
    misuse.show(said)
    for line in said.getvalue().rstrip("\n").split("\n"):
        complain(line)
    sys.exit(misuse.exit_code)
