"""Catch master rows up with what their child rows prove; it may be interrupted and run again at any time."""

from typing import Annotated
from uuid import UUID

import typer

from masterflow.scripts.terminal.entrance import run_program, told_in_a_sentence


def backfill(  # noqa: PLR0913  one per option
    *,
    since: Annotated[str, typer.Option(help="Flows created since then: 12h, 7d, or a date.")] = "7d",
    client: Annotated[UUID | None, typer.Option(help="Only flows of this client account.")] = None,
    engagement: Annotated[UUID | None, typer.Option(help="Only flows of this engagement.")] = None,
    flow: Annotated[
        list[UUID] | None, typer.Option(help="Only this flow, even if it is up to date; may be repeated.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Flows of any age.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also flows that are up to date, as after a restore.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
    direct: Annotated[bool, typer.Option("--direct", help="Work here, without a broker.")] = False,
    repair_status: Annotated[
        bool, typer.Option("--repair-status", help="Complete masters whose child proves the flow finished.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Catch master rows up with what their child rows prove, newest first.

    Run it as often as you like: what is up to date is passed over, and live reports always win. The exit
    code is 1 if a row failed or enrichment is switched off, 2 for a misuse, 3 if a server is away, 130 after
    Ctrl-C.
    """
    # `flowctl --help` shows this command, and must not load the database for it.
    from masterflow.repository.backfill.reads import Scope  # noqa: PLC0415
    from masterflow.scripts.maintenance.backfill_run import Order, beginning, run_backfill  # noqa: PLC0415
    from masterflow.tasks.backfill.catch_up import BackfillOptions  # noqa: PLC0415

    with told_in_a_sentence():
        run_backfill(
            Order(
                scope=Scope(
                    since=None if every else beginning(since),
                    client_account_id=client,
                    engagement_id=engagement,
                    # An ordinary run raises no status, so what it has noted says nothing of that.
                    is_again=again or repair_status,
                ),
                flow_ids=flow or [],
                options=BackfillOptions(repair_status=repair_status, is_dry=dry_run),
                is_direct=direct or dry_run,
            ),
            as_json=as_json,
        )


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(backfill)

if __name__ == "__main__":
    run_program(lambda: app(standalone_mode=False))
