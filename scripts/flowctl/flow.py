"""`flowctl flow`: what flows do and did."""

from typing import Annotated

import typer

from domain.statuses import flow_status
from repository.status_reads import FlowFilter, FlowScope
from scripts.database import with_session
from scripts.flow_panel import flow_panel, status_text
from scripts.flow_view import read_flow
from scripts.flowctl.options import AsJson, Client, Engagement, FlowId, Limit
from scripts.flowctl.output import console, print_json, print_table
from status.manager import FlowStatusManager

group = typer.Typer(no_args_is_help=True, help="What flows do and did.")


@group.command()
def show(flow_id: FlowId, *, client: Client, engagement: Engagement, as_json: AsJson = False) -> None:
    """Show a flow: its phases with times and attempts, its errors and its agents."""
    scope = FlowScope(client, frozenset({engagement}))
    view = with_session(lambda session: read_flow(session, scope, flow_id))
    if as_json:
        print_json(view.as_json())
    else:
        console.print(flow_panel(view))


@group.command("list")
def list_(
    *,
    client: Client,
    engagement: Engagement,
    status: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the flows of an engagement, newest first."""
    scope = FlowScope(client, frozenset({engagement}))
    wanted = FlowFilter(statuses=tuple(flow_status(word) for word in status or ()))
    found = with_session(lambda session: FlowStatusManager(session, scope).list_flows(wanted, limit=limit))
    if as_json:
        print_json(found.model_dump(mode="json")["flows"])
        return
    print_table(
        ("flow", "name", "status", "phase", "progress", "retries", "created"),
        (
            (
                str(flow.flow_id),
                flow.flow_name or "",
                status_text(flow.status),
                (flow.current_phase or "").replace("_", " "),
                "" if flow.progress_percentage is None else f"{flow.progress_percentage:.0f} %",
                str(flow.retry_count or ""),
                f"{flow.created_at.astimezone():%Y-%m-%d %H:%M:%S}" if flow.created_at else "",
            )
            for flow in found.flows
        ),
        empty="This engagement has no such flows.",
    )
