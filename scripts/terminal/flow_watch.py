"""Flows shown as they go on, until whoever watches has seen enough."""

from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain.clock import from_microseconds
from masterflow.repository.redis.client import redis_link
from masterflow.repository.status.reads import FlowScope
from masterflow.repository.status.wanted import FlowFilter
from masterflow.scripts.terminal.flow_screens import Screen
from masterflow.scripts.terminal.flow_view import read_flow
from masterflow.scripts.terminal.follow import Follower
from masterflow.status.manager import FlowStatusManager
from masterflow.status.views import FlowSummary

_NEVER: Final = from_microseconds(0)


async def watch_flow(engine: AsyncEngine, scope: FlowScope, flow_id: UUID, *, screen: Screen) -> None:
    """Show a flow, and again whenever it changes; what raises FlowNotFound is not the tenant's."""
    follower = Follower(engine, scope, screen)
    async with redis_link() as redis, aclosing(follower.changes(flow_id)) as changes:
        async for _ in changes:
            screen.show_flow(await follower.read(lambda session: read_flow(session, scope, flow_id, redis)))


async def watch_flows(engine: AsyncEngine, scope: FlowScope, *, limit: int, screen: Screen) -> None:
    """Show the newest flows of a tenant, and again whenever one of the tenant's changes."""
    follower = Follower(engine, scope, screen)
    async with aclosing(follower.changes()) as changes:
        changed = await anext(changes)
        page = await follower.read(
            lambda session: FlowStatusManager(session, scope).find_flows(FlowFilter(), limit=limit)
        )
        shown = _newest([*page.flows, *changed], limit)
        screen.show_flows(shown, [*reversed(page.flows), *changed])
        async for changed in changes:
            shown = _newest([*shown, *changed], limit)
            screen.show_flows(shown, changed)


def _newest(flows: Iterable[FlowSummary], limit: int) -> list[FlowSummary]:
    """Return the newest flows, each as it stands last among these."""
    latest = {flow.flow_id: flow for flow in flows}
    return sorted(latest.values(), key=_age, reverse=True)[:limit]


def _age(flow: FlowSummary) -> datetime:
    return flow.created_at or _NEVER
