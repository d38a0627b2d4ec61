"""`flowctl events`: what happens in flows, as it is committed."""

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from masterflow.scripts.flowctl.options import AsJson, Client, Engagement, command_group, flow_id

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

group = command_group("What happens in flows, as it is committed.")


@group.command()
def tail(
    *,
    client: Client,
    engagement: Engagement,
    flow: Annotated[
        UUID | None, typer.Option(parser=flow_id, metavar="FLOW_ID", help="Only of this flow.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a line for each thing that is new in a row from now on, until Ctrl-C; with --json an object.

    New is what the row gained by a commit: a transition, an error, an agent's activity, another status, a
    retry, another progress or message, or the flow itself. The time is when it happened, not when it was
    committed. Of a burst that fills a list of 100 entries at once, only what the row kept is shown.
    """
    from masterflow.repository.status.reads import FlowScope
    from masterflow.scripts.database import with_engine
    from masterflow.scripts.terminal.events_tail import tail as tail_events
    from masterflow.scripts.terminal.flow_lines import news_document, news_line
    from masterflow.scripts.terminal.flow_screens import Doubt
    from masterflow.scripts.terminal.text import say_json
    from masterflow.scripts.terminal.whole import console

    scope = FlowScope(client, frozenset({engagement}))

    async def follow(engine: "AsyncEngine") -> None:
        async with aclosing(tail_events(engine, scope, Doubt(), flow_id=flow)) as news:
            async for found in news:
                if as_json:
                    say_json(news_document(*found))
                else:
                    console.print(news_line(*found), soft_wrap=True)

    with suppress(KeyboardInterrupt):
        with_engine(follow)
