"""`flowctl events`: what happens in flows, as it is committed."""

import json
from contextlib import aclosing, suppress
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.domain import flow_uuid
from masterflow.repository.status.reads import FlowScope
from masterflow.scripts.database import with_engine
from masterflow.scripts.flowctl.options import AsJson, Client, Engagement
from masterflow.scripts.flowctl.output import console
from masterflow.scripts.terminal.events_tail import tail as tail_events
from masterflow.scripts.terminal.flow_lines import news_document, news_line
from masterflow.scripts.terminal.flow_screens import Doubt

group = typer.Typer(no_args_is_help=True, help="What happens in flows, as it is committed.")


@group.command()
def tail(
    *,
    client: Client,
    engagement: Engagement,
    flow: Annotated[
        UUID | None, typer.Option(parser=flow_uuid, metavar="FLOW_ID", help="Only of this flow.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a line for each thing that is new in a row from now on, until Ctrl-C; with --json an object.

    New is what the row gained by a commit: a transition, an error, an agent's activity, another status, a
    retry, another progress or message, or the flow itself. The time is when it happened, not when it was
    committed. Of a burst that fills a list of 100 entries at once, only what the row kept is shown.
    """
    scope = FlowScope(client, frozenset({engagement}))

    async def follow(engine: AsyncEngine) -> None:
        async with aclosing(tail_events(engine, scope, Doubt(), flow_id=flow)) as news:
            async for found in news:
                if as_json:
                    print(json.dumps(news_document(*found), ensure_ascii=False, default=str), flush=True)
                else:
                    console.print(news_line(*found), soft_wrap=True)

    with suppress(KeyboardInterrupt):
        with_engine(follow)
