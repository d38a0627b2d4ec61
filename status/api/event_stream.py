"""A response that goes on: server-sent events, cut when nobody reads them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from uuid import UUID

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from masterflow.status.access.tokens import Viewer
from masterflow.status.live.listeners import Listener
from masterflow.status.service import service_of

_log = logging.getLogger(__name__)


class EventStream(Response):
    """Sends what a listener is told until it leaves, its token ends, or it is too slow."""

    media_type = "text/event-stream"

    def __init__(
        self, listener: Listener, stack: AsyncExitStack, *, lasts_s: float, send_timeout_s: float
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._listener = listener
        self._stack = stack
        self._lasts_s = lasts_s
        self._send_timeout_s = send_timeout_s

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.create_task(self._cut_when_gone(receive))
        try:
            async with self._stack, aclosing(self._listener.texts(lasts_s=self._lasts_s)) as texts:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._send_all(texts, send)
        except TimeoutError:
            _log.info("An event stream was cut: nothing was read from it for %s s.", self._send_timeout_s)
        finally:
            leaving.cancel()

    async def _send_all(self, texts: AsyncIterator[bytes], send: Send) -> None:
        async for text in texts:
            async with asyncio.timeout(self._send_timeout_s):
                await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _cut_when_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._listener.cut()


async def open_stream(
    request: Request, viewer: Viewer, flow_id: UUID | None = None, *, last_event_id: str = ""
) -> EventStream:
    """Return a stream of the changes a viewer may see, of all flows or of one, once it is being told them."""
    service, stack = service_of(request), AsyncExitStack()
    listening = service.changes.listening(viewer.scope, flow_id, last_event_id=last_event_id[:100])
    listener = await stack.enter_async_context(listening)
    return EventStream(
        listener, stack, lasts_s=viewer.expires_in_s, send_timeout_s=service.settings.send_timeout_s
    )
