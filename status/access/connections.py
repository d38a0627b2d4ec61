"""HTTP on connections of which there are so many at most, and which are cut if a request takes too long.

uvicorn has a limit on neither: 2,600 connections that never finished their headers took every descriptor, and
nobody else got an answer for as long as they stayed.
"""

import asyncio
from collections import OrderedDict
from typing import Any

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

#: States of a connection from which a request, or the rest of one, is still to come.
_COMING = (h11.IDLE, h11.SEND_BODY)


class BoundedProtocol(H11Protocol):
    """One connection; the class is made for one server by `bounded_protocol`."""

    most_connections: int
    request_timeout_s: float
    #: Connections whose request is not whole yet, the oldest first.
    waiting: "OrderedDict[BoundedProtocol, None]"

    _deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()
        if len(self.connections) > self.most_connections:
            # Whoever has waited longest is most likely to wait for nothing.
            next(iter(self.waiting)).cut()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look(has_begun=True)

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Between two requests, uvicorn's own time for an idle connection counts.
        self._look(has_begun=bool(self.conn.trailing_data[0]))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_request()
        super().connection_lost(exc)

    def cut(self) -> None:
        """End the connection now."""
        self._forget_request()
        self.transport.abort()

    def _look(self, *, has_begun: bool) -> None:
        if self.conn.their_state not in _COMING:
            self._forget_request()
        elif has_begun:
            self._expect_request()

    def _expect_request(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.request_timeout_s, self.cut)
            self.waiting[self] = None

    def _forget_request(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.waiting.pop(self, None)


def bounded_protocol(*, most_connections: int, request_timeout_s: float) -> type[BoundedProtocol]:
    """Return the protocol of a server that holds so many connections and waits so long for each request."""
    attributes: dict[str, Any] = {
        "most_connections": most_connections,
        "request_timeout_s": request_timeout_s,
        "waiting": OrderedDict(),
    }
    return type("ServersProtocol", (BoundedProtocol,), attributes)
