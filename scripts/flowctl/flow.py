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
from masterflow.scripts.terminal.text import say

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

    from masterflow.scripts.terminal.flow_screens import Screen
    from masterflow.status.listing.counts import FlowCounts

group = command_group("What flows do and did.")


@group.command()
def show(flow_id: FlowId, *, client: Client, engagement: Engagement, as_json: AsJson = False) -> None:
    """Show a flow: its phases with times and attempts, its errors and its agents."""
    from masterflow.repository.redis.client import redis_link
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_session
    from masterflow.scripts.terminal.flow_panel import FlowPanel
    from masterflow.scripts.terminal.flow_view import FlowView, read_flow
    from masterflow.scripts.terminal.whole import console, print_whole

    scope = FlowScope(client, frozenset({engagement}))

    async def read(session: "AsyncSession") -> FlowView:
        async with redis_link() as redis:
            return await read_flow(session, scope, flow_id, redis)

    view = with_session(read)
    if as_json:
        print_json(view.as_json())
    else:
        print_whole(console, FlowPanel(view))


def _statuses() -> list[str]:
    from masterflow.domain.statuses import FLOW_STATUSES

    return list(FLOW_STATUSES)


@group.command("list")
def list_(  # noqa: PLR0913  each is an option
    *,
    client: Client,
    engagement: Engagement,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only these; may be repeated.", autocompletion=_statuses),
    ] = None,
    flow_type: Annotated[str, typer.Option("--type", help="Only flows of this type.")] = "",
    phase: Annotated[str, typer.Option(help="Only flows in it: data_import or 'data import'.")] = "",
    user: Annotated[str, typer.Option(help="Only this user's.")] = "",
    text: Annotated[str, typer.Option(help="Part of a name, an id or a user.")] = "",
    since: Annotated[str, typer.Option(help="Created then or later: 2026-11-02T09:30:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Created before then.")] = "",
    lost: Annotated[
        bool, typer.Option("--lost", help="Only flows whose process is gone; with --silent, either.")
    ] = False,
    silent: Annotated[bool, typer.Option("--silent", help="Only flows without signs of life.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only flows past a deadline.")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only flows that wait for somebody.")] = False,
    cause: Annotated[
        str, typer.Option(help="Only flows with errors of this cause, or like an error of this text.")
    ] = "",
    ran: Annotated[str, typer.Option(help="Only flows with a time of this phase.")] = "",
    meta: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only with this in flow_metadata.")
    ] = None,
    sort: Annotated[
        str, typer.Option(help="By created, changed, duration, errors or cost; the greatest first.")
    ] = "created",
    counts: Annotated[
        bool, typer.Option("--counts", help="Only how many there are, by status and type.")
    ] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the flows of an engagement, newest first."""
    from masterflow.domain.statuses import flow_status
    from masterflow.repository.redis.client import redis_link
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_session
    from masterflow.scripts.terminal.flow_panel import flow_table
    from masterflow.scripts.terminal.whole import console, print_whole
    from masterflow.status.listing.asked import filter_of, sort_of
    from masterflow.status.listing.counts import FlowCounts
    from masterflow.status.manager import FlowStatusManager
    from masterflow.status.views import FlowList

    scope = FlowScope(client, frozenset({engagement}))
    words: dict[str, list[str]] = {
        "status": [*map(flow_status, status or ())],
        "type": [flow_type],
        "phase": [phase],
        "user": [user],
        "text": [text],
        "since": [since],
        "until": [until],
        "liveness": [word for word, is_asked in (("lost", lost), ("silent", silent)) if is_asked],
        "overdue": [str(overdue)],
        "waiting": [str(waiting)],
        "cause": [cause],
        "ran": [ran],
        "sort": [sort],
        **_metadata(meta or []),
    }
    wanted, order = filter_of(words), sort_of(words)

    async def count(session: "AsyncSession") -> FlowCounts:
        async with redis_link() as redis:
            manager = FlowStatusManager(session, scope, redis)
            return await manager.count_flows(wanted, budget_s=float("inf"))

    if counts:
        _print_counts(with_session(count), as_json=as_json)
        return

    async def read(session: "AsyncSession") -> FlowList:
        async with redis_link() as redis:
            return await FlowStatusManager(session, scope, redis).find_flows(wanted, sort=order, limit=limit)

    found = with_session(read)
    if as_json:
        print_json(found.model_dump(mode="json")["flows"])
    elif found.flows:
        print_whole(console, flow_table(found.flows))
        if found.sorted_among:
            say(f"Sorted among the newest {found.sorted_among:,} that match, not among all.")
    else:
        say("This engagement has no such flows.")


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


def _print_counts(found: "FlowCounts", *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    say(f"{found.flows:,} {'flow' if found.flows == 1 else 'flows'}")
    for title, numbers in (("by status", found.by_status), ("by type", found.by_type)):
        told = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in numbers.items())
        say(f"{title}: {told or 'none'}")


def _metadata(asked: list[str]) -> dict[str, list[str]]:
    from masterflow.domain import InputInvalid
    from masterflow.status.listing.asked import META

    found: dict[str, list[str]] = {}
    for text in asked:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise InputInvalid(f"--meta is KEY=VALUE, like source=nightly, not {text[:50]!r}.")
        found.setdefault(f"{META}{key}", []).append(value)
    return found


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
