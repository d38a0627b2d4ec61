"""Readers of server-sent events, as a browser would read them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class SentEvent:
    """One event."""

    name: str = "message"
    id: str = ""
    data: Any = None


@dataclass
class EventReader:
    """What has come so far from one open stream."""

    lines: AsyncIterator[str]
    events: list[SentEvent] = field(default_factory=list)

    async def next(self, name: str = "flow", *, timeout_s: float = 10) -> SentEvent:
        """Return the next event of this name; others are noted and passed over."""
        async with asyncio.timeout(timeout_s):
            while True:
                event = await self._read()
                self.events.append(event)
                if event.name == name:
                    return event

    async def flow(self, flow_id: object, *, timeout_s: float = 10) -> SentEvent:
        """Return the next event of this flow."""
        async with asyncio.timeout(timeout_s):
            while (event := await self.next()).data["flow_id"] != str(flow_id):
                pass
            return event

    async def _read(self) -> SentEvent:
        event = SentEvent()
        async for line in self.lines:
            key, _, value = line.partition(": ")
            if not line and event.data is not None:
                return event
            if key == "event":
                event.name = value
            elif key == "id":
                event.id = value
            elif key == "data":
                event.data = json.loads(value)
        raise EOFError("the stream has ended")


@asynccontextmanager
async def event_reader(
    client: httpx.AsyncClient, path: str = "/api/v1/events", *, last_event_id: str = ""
) -> AsyncIterator[EventReader]:
    """Give a reader of a stream that is ready: from now on nothing is missed."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with client.stream("GET", path, headers=headers, timeout=30) as response:
        assert response.status_code == 200, await response.aread()
        reader = EventReader(response.aiter_lines())
        if not last_event_id:
            await reader.next("ready")
        yield reader
