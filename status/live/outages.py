"""What is away for now, told to whoever listens when it goes and when it is back."""

from collections.abc import Iterable
from typing import Literal

from masterflow.status.live.listeners import Listener

#: What may be away; `api` is our own look for changes.
Server = Literal["api", "postgres", "redis"]


class Outages:
    """Remembers what is away; `listeners` are those of the moment."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = listeners
        self._away: dict[Server, str] = {}

    def note(self, server: Server, detail: str | None) -> None:
        """Tell all listeners that a server went, and what that means, or with None that it is back."""
        was_away = server in self._away
        if detail is not None:
            self._away[server] = detail
        else:
            self._away.pop(server, None)
        if was_away != (detail is not None):
            for listener in self._listeners:
                _tell(listener, server, detail)

    def tell(self, listener: Listener) -> None:
        """Tell a new listener what is away."""
        for server, detail in self._away.items():
            _tell(listener, server, detail)


def _tell(listener: Listener, server: Server, detail: str | None) -> None:
    if detail is None:
        listener.notify("available", server=server)
    else:
        listener.notify("unavailable", server=server, detail=detail)
