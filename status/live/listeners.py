"""Whoever listens to changes: what waits for them, as server-sent events, bounded however slow they are."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from masterflow.repository.status.reads import FlowScope
from masterflow.status.views import FlowSummary

HEARTBEAT_S: Final = 15.0

#: Flows whose change waits for one listener; only the newest change of a flow does.
MOST_PENDING: Final = 1_000

_RETRY_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Change:
    """A flow as it stands after a change, and its place in the order in which this process saw changes."""

    number: int
    event_id: str
    summary: FlowSummary
    client_account_id: UUID
    text: bytes

    @classmethod
    def of(cls, number: int, event_id: str, *, summary: FlowSummary, client_account_id: UUID) -> "Change":
        """Return a change with the text that every listener gets."""
        text = f"id: {event_id}\nevent: flow\ndata: {summary.model_dump_json()}\n\n".encode()
        return cls(number, event_id, summary, client_account_id, text)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something told that is about no flow: `ready`, `reset`, `unavailable` or `available`."""

    event: str
    detail: str
    text: bytes


class Listener:
    """One open event stream; a slow one gets each flow's newest change only, and may be cut."""

    def __init__(
        self, scope: FlowScope, flow_id: UUID | None = None, *, most_pending: int | None = None
    ) -> None:
        self.scope = scope
        self.flow_id = flow_id
        self._most_pending = MOST_PENDING if most_pending is None else most_pending
        self._pending: dict[UUID, Change] = {}
        self._notices: list[Notice] = []
        self._wake = asyncio.Event()
        self._is_cut = False

    def wants(self, change: Change) -> bool:
        """Return whether a change is of a flow that they may see and asked for."""
        return (
            change.client_account_id == self.scope.client_account_id
            and self.scope.sees(change.summary.engagement_id)
            and self.flow_id in {None, change.summary.flow_id}
        )

    def offer(self, change: Change) -> None:
        """Let a change wait for them, in place of an older one of the same flow."""
        if self._is_cut:
            return
        self._pending.pop(change.summary.flow_id, None)
        self._pending[change.summary.flow_id] = change
        self._wake.set()
        if len(self._pending) > self._most_pending:
            self.cut()

    def notify(self, event: str, *, event_id: str = "", server: str = "", detail: str = "") -> None:
        """Tell something that is about no flow; `server` is what it is about instead."""
        if self._is_cut:
            return
        head = f"id: {event_id}\n" if event_id else ""
        data = json.dumps({key: text for key, text in (("server", server), ("detail", detail)) if text})
        self._notices.append(Notice(event, detail, f"{head}event: {event}\ndata: {data}\n\n".encode()))
        self._wake.set()
        if len(self._notices) > self._most_pending:
            self.cut()

    def cut(self) -> None:
        """End the stream; nothing waits for it any more."""
        self._is_cut = True
        self._pending.clear()
        self._notices.clear()
        self._wake.set()

    async def told(self) -> list[Notice | Change]:
        """Wait until there is something to tell, and return it: notices first, then the changes."""
        await self._wake.wait()
        self._wake.clear()
        notices, self._notices = self._notices, []
        changes, self._pending = self._pending, {}
        return [*notices, *changes.values()]

    async def texts(self, *, lasts_s: float) -> AsyncGenerator[bytes]:
        """Yield what to send, until they are cut or their time is over."""
        ends_at = time.monotonic() + lasts_s
        yield f"retry: {_RETRY_MS}\n\n".encode()
        while not self._is_cut:
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                yield b"event: expired\ndata: {}\n\n"
                return
            try:
                async with asyncio.timeout(min(HEARTBEAT_S, left_s)):
                    told = await self.told()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if told:
                yield b"".join(item.text for item in told)
