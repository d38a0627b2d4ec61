"""`flowctl flow compare` and `flowctl flow export`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from masterflow.scripts.flowctl.flow import group
from masterflow.scripts.flowctl.options import AsJson, Client, Engagement, FlowId
from masterflow.scripts.flowctl.output import print_json, print_table
from masterflow.scripts.terminal.text import say

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from masterflow.status.flow.compare import Comparison, FlowSide, PhaseSide
    from masterflow.status.flow.details import FlowDetails


def _tables() -> list[str]:
    from masterflow.status.flow.export import TABLE_NAMES

    return list(TABLE_NAMES)


@group.command()
def compare(
    flow_id: FlowId, other: FlowId, *, client: Client, engagement: Engagement, as_json: AsJson = False
) -> None:
    """Put two flows of an engagement side by side: phases, causes of errors, agents and totals."""
    from masterflow.status.flow.compare import comparison_of

    found = comparison_of(*_read(client, engagement, flow_id, other))
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


@group.command()
def export(
    flow_id: FlowId,
    *,
    client: Client,
    engagement: Engagement,
    table: Annotated[
        str | None,
        typer.Option(help="A list of it, as CSV.", autocompletion=_tables, show_default="all, as JSON"),
    ] = None,
) -> None:
    """Print all that there is to read of a flow as JSON, or one of its lists as CSV.

    Lists are phases, transitions, errors, causes, activity and agents. Texts that a spreadsheet could take
    for a formula begin with `'`.
    """  # noqa: DOC501
    from masterflow.status.flow.export import TABLE_NAMES, csv_of

    chosen = next((name for name in TABLE_NAMES if name == table), None)
    if table is not None and chosen is None:
        raise typer.BadParameter(f"--table takes one of {', '.join(TABLE_NAMES)}.")
    [details] = _read(client, engagement, flow_id)
    if chosen is None:
        print_json(details.as_json())
        return
    # As it is, for a file: lines end as CSV's do.
    sys.stdout.flush()
    sys.stdout.buffer.write(csv_of(details, chosen).encode())
    sys.stdout.buffer.flush()


def _read(client: "UUID", engagement: "UUID", *flow_ids: "UUID") -> "list[FlowDetails]":
    from masterflow.repository.redis.client import redis_link
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_session
    from masterflow.scripts.terminal.flow_view import read_flow

    scope = FlowScope(client, frozenset({engagement}))

    async def read(session: "AsyncSession") -> "list[FlowDetails]":
        async with redis_link() as redis:
            return [await read_flow(session, scope, flow_id, redis) for flow_id in flow_ids]

    return with_session(read)


def _print(found: "Comparison") -> None:
    from masterflow.status import usage
    from masterflow.status.fleet.words import change

    totals = [
        (name, text(found.this), text(found.other))
        for name, text in (
            ("flow", lambda one: str(one.flow_id)),
            ("status", lambda one: one.status.replace("_", " ")),
            ("created", _created),
            ("took", _took),
            ("errors", lambda one: str(one.error_count)),
            ("retries", lambda one: str(one.retry_count)),
            ("usage", lambda one: usage.used(one.usage) if one.usage else "-"),
        )
    ]
    print_table(("", "this", "other"), totals, empty="")
    if found.phases:
        say("")
        rows = (
            (one.phase, _phase(one.this), _phase(one.other), change(one.times) or "-") for one in found.phases
        )
        print_table(("phase", "this", "other", "against this"), rows, empty="")
    if found.causes:
        say("")
        causes = ((str(one.this), str(one.other), one.cause) for one in found.causes)
        print_table(("this", "other", "errors by cause"), causes, empty="")
    if found.agents:
        say("")
        agents = (
            (one.agent, *(usage.used(side) if side else "-" for side in (one.this, one.other)))
            for one in found.agents
        )
        print_table(("agent", "this", "other"), agents, empty="")


def _created(one: "FlowSide") -> str:
    from masterflow.domain.shown.times import moment

    return moment(one.created_at)


def _took(one: "FlowSide") -> str:
    from masterflow.status.durations import lasting

    return lasting(one.took_ms)


def _phase(one: "PhaseSide | None") -> str:
    from masterflow.status.durations import lasting

    if one is None:
        return "none"
    attempts = f" ×{one.attempts}" if one.attempts and one.attempts > 1 else ""
    errors = f", {one.errors} error{'' if one.errors == 1 else 's'}" if one.errors else ""
    return f"{(one.status or 'unknown').replace('_', ' ')}, {lasting(one.took_ms)}{attempts}{errors}"
