"""Connections to Redis that read through a socket of ours, whichever parser reads the answers."""

from collections.abc import Callable
from functools import cache
from typing import Any


class Socket:
    """A socket that does what the one inside does; its subclasses look at what comes."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


@cache
def reading_through(wrap: Callable[[Any], Socket], kind: Any) -> Any:
    """Return a class of such connections; `kind` is TCP, TLS, a socket's path, or what a Sentinel names."""

    class Reading(kind):  # type: ignore[misc]
        def _connect(self) -> Socket:
            return wrap(super()._connect())

    return Reading
