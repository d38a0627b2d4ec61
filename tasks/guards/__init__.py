"""Guards against faults of Celery and kombu, each with the test that says when it can go."""

import warnings
from collections.abc import Callable
from typing import Any


def replace(owner: type, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    """Put what `make` makes of a method in its place; warn if there is no such method any more."""
    original = getattr(owner, name, None)
    if original is None:
        place, guard = f"{owner.__module__}.{owner.__qualname__}.{name}", make.__module__
        warnings.warn(
            f"{place} is gone, and with it a guard of the worker; see whether {guard} is still needed.",
            RuntimeWarning,
            stacklevel=3,
        )
        return
    setattr(owner, name, make(original))
