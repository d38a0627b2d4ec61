"""What may be told of results and errors: counts, keys and places, never a payload."""

import reprlib
import sys
from collections.abc import Mapping, Sized
from pathlib import PurePath
from typing import Any, Final

from masterflow.domain.interruptions import pass_interruption
from masterflow.domain.payload.sizes import weight
from masterflow.tracker.control.requests import FlowStopped

_MAX_CAUSES: Final = 20
_MAX_FIGURES: Final = 20
_MAX_KEYS: Final = 5
_MAX_STATUS_CHARS: Final = 40

#: What an error carries is written whole up to here; of more than that, so many characters and items.
_MOST_WHOLE_ARGS: Final = 20
_MOST_WHOLE_BYTES: Final = 20_000
_MAX_CHARS: Final = 4_000
_MAX_ITEMS: Final = 100


def figures(results: object) -> dict[str, Any]:
    """Return the numbers of a mapping as they are, and of each container in it how many items it holds.

    `{"rows": [1, 2], "confidence": 0.8, "owner": "x"}` gives `{"rows_count": 2, "confidence": 0.8}`.
    """
    if not isinstance(results, Mapping):
        return {} if _count(results) is None else {"results_count": _count(results)}
    found: dict[str, Any] = {}
    for key, value in list(results.items())[:_MAX_FIGURES]:
        if isinstance(value, bool | int | float):
            found[str(key)] = value
        elif (count := _count(value)) is not None:
            found[f"{key}_count"] = count
    return found


def shape(result: object) -> dict[str, Any]:
    """Return what kind of thing a result is.

    `{"type": "dict", "keys": ["rows", "status"], "size": 2, "counts": {"rows": 512}, "status": "completed"}`;
    at most 5 keys, and only what applies.
    """
    described: dict[str, Any] = {"type": type(result).__name__}
    if isinstance(result, Sized):
        described["size"] = len(result)
    if isinstance(result, Mapping):
        first = dict(list(result.items())[:_MAX_KEYS])
        described["keys"] = [str(key) for key in first]
        described["counts"] = {
            str(key): _count(value) for key, value in first.items() if _count(value) is not None
        }
        if isinstance(status := result.get("status"), str):
            described["status"] = status[:_MAX_STATUS_CHARS]
    return described


def text_of(error: object) -> str:
    """Return an error's text, or its type's name when it has none."""
    try:
        text = _written(error).strip()
    except Exception as problem:  # noqa: BLE001  an exception class of somebody else
        pass_interruption(problem)
        text = ""
    return text or type(error).__name__


def causes_of(error: object) -> list[object]:
    """Return the errors that a group holds, at most 20, or the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [cause for one in error.exceptions[:_MAX_CAUSES] for cause in causes_of(one)][:_MAX_CAUSES]


def is_task_control(error: BaseException | None) -> bool:
    """Return whether Celery's Retry, Ignore or Reject passes, by which a task ends that has not failed."""
    celery = sys.modules.get("celery.exceptions")
    return celery is not None and isinstance(error, celery.Retry | celery.Ignore | celery.Reject)


def outcome_of(error: BaseException | str | None) -> tuple[str, dict[str, object]]:
    """Return the status of an attempt that ends by this, and what its transition says of it."""
    if error is None:
        return "completed", {}
    if not isinstance(error, BaseException):
        return "failed", {}
    is_stopped = all(isinstance(one, FlowStopped) for one in causes_of(error))
    failed = isinstance(error, Exception) and not is_task_control(error) and not is_stopped
    return "failed" if failed else "cancelled", {"error_type": type(error).__name__}


def describe_error(error: object) -> dict[str, Any]:
    """Return an exception's type and origin: `{"error_type": "ValueError", "raised_at": "x.py:7"}`."""
    if not isinstance(error, BaseException):
        return {}
    described = {"error_type": type(error).__name__}
    if (trace := error.__traceback__) is not None:
        # Walked, and not extracted: the lines of a thousand frames need not be read.
        while trace.tb_next is not None:
            trace = trace.tb_next
        described["raised_at"] = f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    return described


def _written(error: object) -> str:
    """Return an error as Python writes it; what it carries is cut before it is made text of, if it is much.

    Whoever writes a class with a text of its own decides what that costs.
    """
    is_plain = type(error).__str__ in (BaseException.__str__, KeyError.__str__)
    if not isinstance(error, BaseException) or not is_plain:
        return str(error)
    if len(error.args) <= _MOST_WHOLE_ARGS and sum(map(_size, error.args)) <= _MOST_WHOLE_BYTES:
        return str(error)
    if len(error.args) == 1:
        [carried] = error.args
        return str(carried) if type(carried) is str else _beginning.repr(carried)
    return _beginning.repr(error.args)


def _size(value: object) -> int:
    is_looked_into = type(value) in (str, bytes, list, dict, tuple)
    return weight(value) if is_looked_into or not isinstance(value, Sized) else len(value)


class _Beginning(reprlib.Repr):
    """Writes the beginning of what is large, without making text of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _MAX_CHARS
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = (
            _MAX_ITEMS
        )
        self.maxarray = _MAX_ITEMS

    def repr_bytes(self, value: bytes, _: int) -> str:
        return repr(value[:_MAX_CHARS])

    def repr_bytearray(self, value: bytearray, _: int) -> str:
        return repr(value[:_MAX_CHARS])


_beginning: Final = _Beginning()


def _count(value: object) -> int | None:
    is_text = isinstance(value, str | bytes | bytearray | memoryview)
    return len(value) if isinstance(value, Sized) and not is_text else None
