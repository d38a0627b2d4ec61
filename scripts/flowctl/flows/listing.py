"""`flowctl flow list`: the flows of engagements by the words of the list, or how many there are."""

from typing import TYPE_CHECKING, Annotated

import typer

from masterflow.scripts.flowctl.flow import group
from masterflow.scripts.flowctl.options import (
    AllEngagements,
    AsJson,
    Client,
    Engagements,
    Limit,
    chosen_engagements,
)
from masterflow.scripts.flowctl.output import print_json
from masterflow.scripts.terminal.text import say

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from masterflow.repository.status.reads import FlowScope
    from masterflow.status.listing.counts import FlowCounts
    from masterflow.status.views import FlowList


def _statuses() -> list[str]:
    from masterflow.domain.statuses import FLOW_STATUSES

    return list(FLOW_STATUSES)


@group.command("list")
def list_flows(  # noqa: PLR0913  each is an option
    *,
    client: Client,
    engagement: Engagements = None,
    all_engagements: AllEngagements = False,
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
    ended_since: Annotated[str, typer.Option(help="Ended then or later.")] = "",
    ended_until: Annotated[str, typer.Option(help="Ended before then.")] = "",
    lost: Annotated[
        bool, typer.Option("--lost", help="Only flows whose process is gone; with --silent, either.")
    ] = False,
    silent: Annotated[bool, typer.Option("--silent", help="Only flows without signs of life.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only flows past a deadline.")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only flows that wait for somebody.")] = False,
    cause: Annotated[
        str, typer.Option(help="Only flows with errors of this cause, or like an error of this text.")
    ] = "",
    seen_since: Annotated[str, typer.Option(help="Their errors were last seen then or later.")] = "",
    seen_until: Annotated[str, typer.Option(help="Their errors were last seen before then.")] = "",
    ran: Annotated[str, typer.Option(help="Only flows with a time of this phase.")] = "",
    ran_since: Annotated[str, typer.Option(help="The phase ended then or later.")] = "",
    ran_until: Annotated[str, typer.Option(help="The phase ended before then.")] = "",
    meta: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only with this in flow_metadata.")
    ] = None,
    sort: Annotated[
        str, typer.Option(help="By created, changed, duration, errors or cost; the greatest first.")
    ] = "created",
    counts: Annotated[
        bool, typer.Option("--counts", help="Only how many there are, how they stand and what failed.")
    ] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the flows of one or more engagements, newest first."""
    from masterflow.domain.statuses import flow_status
    from masterflow.repository.redis.client import redis_link
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_session
    from masterflow.status.listing.asked import filter_of, sort_of
    from masterflow.status.manager import FlowStatusManager

    scope = FlowScope(client, chosen_engagements(engagement, are_all=all_engagements))
    words: dict[str, list[str]] = {
        "status": [*map(flow_status, status or ())],
        "type": [flow_type],
        "phase": [phase],
        "user": [user],
        "text": [text],
        "since": [since],
        "until": [until],
        "ended_since": [ended_since],
        "ended_until": [ended_until],
        "liveness": [word for word, is_asked in (("lost", lost), ("silent", silent)) if is_asked],
        "overdue": [str(overdue)],
        "waiting": [str(waiting)],
        "cause": [cause],
        "seen_since": [seen_since],
        "seen_until": [seen_until],
        "ran": [ran],
        "ran_since": [ran_since],
        "ran_until": [ran_until],
        "sort": [sort],
        **_metadata(meta or []),
    }
    wanted, order = filter_of(words), sort_of(words)

    async def count(session: "AsyncSession") -> "FlowCounts":
        async with redis_link() as redis:
            manager = FlowStatusManager(session, scope, redis)
            return await manager.count_flows(wanted, budget_s=float("inf"))

    if counts:
        _print_counts(with_session(count), as_json=as_json)
        return

    async def read(session: "AsyncSession") -> "FlowList":
        async with redis_link() as redis:
            return await FlowStatusManager(session, scope, redis).find_flows(wanted, sort=order, limit=limit)

    found = with_session(read)
    _print_flows(found, scope, as_json=as_json)


def _print_flows(found: "FlowList", scope: "FlowScope", *, as_json: bool) -> None:
    from masterflow.scripts.terminal.flow_panel import flow_table
    from masterflow.scripts.terminal.whole import console, print_whole

    if as_json:
        print_json(found.model_dump(mode="json")["flows"])
    elif found.flows:
        are_several = scope.engagement_ids is None or len(scope.engagement_ids) > 1
        print_whole(console, flow_table(found.flows, are_several=are_several))
        if found.sorted_among:
            say(f"Sorted among the newest {found.sorted_among:,} that match, not among all.")
    else:
        whose = "This engagement has" if len(scope.engagement_ids or ()) == 1 else "These engagements have"
        say(f"{whose} no such flows.")


def _print_counts(found: "FlowCounts", *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    say(f"{found.flows:,} {'flow' if found.flows == 1 else 'flows'}")
    standing = {name: getattr(found, name) for name in ("lost", "silent", "overdue", "waiting")}
    causes = {one.cause: one.flows for one in found.causes}
    for title, numbers in (
        ("by status", {name.replace("_", " "): count for name, count in found.by_status.items()}),
        ("by type", found.by_type),
        ("of these", {name: count for name, count in standing.items() if count is not None}),
    ):
        say(f"{title}: {', '.join(f'{name} {count:,}' for name, count in numbers.items()) or 'none'}")
    for cause, count in causes.items():
        say(f"{count:,} with errors like: {cause}")


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
