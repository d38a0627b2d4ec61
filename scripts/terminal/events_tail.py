"""What happens in an engagement's flows, shown as it is committed into their rows."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain.statuses import ACTIVE_STATUSES
from masterflow.repository.rights.row_security import no_such_flow
from masterflow.repository.status.changes import read_entries
from masterflow.repository.status.reads import FlowScope
from masterflow.repository.status.wanted import FlowFilter
from masterflow.scripts.terminal.flow_news import Known, News
from masterflow.scripts.terminal.follow import Follower, OutageDisplay
from masterflow.status.manager import FlowStatusManager
from masterflow.status.views import FlowSummary

#: Flows whose entries are read at once; each has up to 300 of them.
_AT_ONCE: Final = 50

#: So many open flows are looked at beforehand. Of the others, what happened before the start counts as old.
_MOST_KNOWN: Final = 500


class Reader(OutageDisplay, Protocol):
    """What shows the events, and that the tail begins."""

    def attend(self) -> None:
        """Say that from now on nothing is missed."""
        ...


class Tail:
    """Remembers what it has seen of each flow, so that it tells everything once."""

    def __init__(self, follower: Follower, *, flow_id: UUID | None) -> None:
        self._follower = follower
        self._flow_id = flow_id
        self._started_at = datetime.now(UTC)
        self._known: dict[UUID, Known] = defaultdict(Known)

    async def begin(self) -> None:
        """Look at what is there, which is no news; FlowNotFound if the one flow that is meant is not."""
        scope, wanted = self._follower.scope, self._wanted()
        page = await self._follower.read(
            lambda session: FlowStatusManager(session, scope).find_flows(wanted, limit=_MOST_KNOWN)
        )
        if self._flow_id and not page.flows:
            flow_id = self._flow_id
            raise await self._follower.read(lambda session: no_such_flow(session, flow_id))
        async for _ in self.news(page.flows):
            pass

    async def news(self, flows: Sequence[FlowSummary]) -> AsyncGenerator[tuple[FlowSummary, News]]:
        """Yield what is new in flows that have changed."""
        for start in range(0, len(flows), _AT_ONCE):
            part = flows[start : start + _AT_ONCE]
            lists = await self._lists([flow.flow_id for flow in part])
            for flow in part:
                for item in self._learn(flow, lists.get(flow.flow_id, {})):
                    yield flow, item

    def _learn(self, flow: FlowSummary, lists: Mapping[Any, Any]) -> list[News]:
        known = self._known[flow.flow_id]
        is_old = flow.created_at is None or flow.created_at < self._started_at
        if known.summary is None and is_old:
            known.summary, known.since = flow, self._started_at
        return known.learn(flow, lists)

    async def _lists(self, flow_ids: list[UUID]) -> Mapping[UUID, Mapping[Any, Any]]:
        scope = self._follower.scope
        return await self._follower.read(lambda session: read_entries(session, scope, flow_ids=flow_ids))

    def _wanted(self) -> FlowFilter:
        if self._flow_id:
            return FlowFilter(flow_id=self._flow_id)
        return FlowFilter(statuses=tuple(sorted(ACTIVE_STATUSES)))


async def tail(
    engine: AsyncEngine, scope: FlowScope, display: Reader, *, flow_id: UUID | None = None
) -> AsyncGenerator[tuple[FlowSummary, News]]:
    """Yield what is new, each with its flow, oldest first per flow, until whoever asks stops.

    What raises DatabaseUnavailable does so before the first answer, and FlowNotFound is about `flow_id`.
    """
    follower = Follower(engine, scope, display)
    listening = Tail(follower, flow_id=flow_id)
    async with aclosing(follower.changes(flow_id)) as changes:
        missed = await anext(changes)
        await listening.begin()
        display.attend()
        async for found in listening.news(missed):
            yield found
        async for changed in changes:
            async for found in listening.news(changed):
                yield found
