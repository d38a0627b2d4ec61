"""`flowctl flow`: what flows do and did."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from masterflow.scripts.flowctl.options import AsJson, Client, Engagement, FlowId, Limit, command_group
from masterflow.scripts.flowctl.options import flow_id as parse_flow_id
from masterflow.scripts.flowctl.output import print_json

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from masterflow.scripts.terminal.flow_screens import Screen

group = command_group("What flows do and did.")


@group.command()
def show(
    flow_id: FlowId,
    *,
    client: Client,
    engagement: Engagement,
    phase: Annotated[str, typer.Option(help="Only this phase, and its errors.")] = "",
    text: Annotated[str, typer.Option(help="Only errors and entries with this text.")] = "",
    skip: Annotated[int, typer.Option(min=0, help="Leave out so many of the newest errors and entries.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many errors and entries.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a flow: its phases with times and attempts, its errors and its agents."""
    from masterflow.repository.redis.client import redis_link
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_session
    from masterflow.scripts.terminal.flow_panel import FlowPanel
    from masterflow.scripts.terminal.flow_view import FlowView, read_flow
    from masterflow.scripts.terminal.whole import console, print_whole
    from masterflow.status.flow.part import Part

    scope = FlowScope(client, frozenset({engagement}))
    part = Part(text=text, phase=phase, skip=skip, limit=limit)

    async def read(session: "AsyncSession") -> FlowView:
        async with redis_link() as redis:
            return await read_flow(session, scope, flow_id, redis)

    view = with_session(read)
    if as_json:
        print_json(part.of_details(view).as_json())
    else:
        print_whole(console, FlowPanel(view, part))


@group.command()
def watch(
    flow_id: Annotated[
        UUID | None,
        typer.Argument(parser=parse_flow_id, metavar="[FLOW_ID]", help="Only this flow.", show_default=False),
    ] = None,
    *,
    client: Client,
    engagement: Engagement,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show a flow, or the newest ones of an engagement, and every change within a second, until Ctrl-C.

    Without a terminal, and with --json, there is a line for what is there and one for each change.
    """
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_engine
    from masterflow.scripts.terminal.flow_watch import watch_flow, watch_flows

    scope = FlowScope(client, frozenset({engagement}))

    async def follow(engine: "AsyncEngine") -> None:
        with _screen(as_json=as_json) as screen:
            if flow_id:
                await watch_flow(engine, scope, flow_id, screen=screen)
            else:
                await watch_flows(engine, scope, limit=limit, screen=screen)

    with suppress(KeyboardInterrupt):
        with_engine(follow)


@contextmanager
def _screen(*, as_json: bool) -> Iterator["Screen"]:
    from rich.live import Live

    from masterflow.scripts.terminal.flow_screens import Drawing, Lines
    from masterflow.scripts.terminal.whole import console

    if as_json or not sys.stdout.isatty():
        yield Lines(console, as_json=as_json)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield Drawing(live)
