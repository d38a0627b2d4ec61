"""`flowctl flow archive|restore`: rows of flows that ended long ago, out of the table and back."""

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from masterflow.scripts.flowctl.flow import group
from masterflow.scripts.flowctl.options import AsJson
from masterflow.scripts.flowctl.output import print_done, print_json, print_table
from masterflow.scripts.terminal.text import complain, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from masterflow.repository.retention.ended import Ended, EndedFlows, TenantCount
    from masterflow.tasks.retention.archive import Archive
    from masterflow.tasks.retention.restoring import Restored
    from masterflow.tasks.retention.rounds import Outcome

Account = Annotated[
    UUID | None, typer.Option("--client", envvar="FLOWCTL_CLIENT", help="Only this client account's.")
]
OneEngagement = Annotated[
    UUID | None, typer.Option("--engagement", envvar="FLOWCTL_ENGAGEMENT", help="Only this engagement's.")
]
Every = Annotated[bool, typer.Option("--all", help="Of every tenant.")]

_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}

# Of so many rows, a foreign key without an index makes each deletion slow.
_MANY_ROWS: Final = 20_000


@group.command()
def archive(
    *,
    older_than: Annotated[
        str, typer.Option(help="Only flows that nothing has changed for so long: 90d, 12h, 8w.")
    ],
    to: Annotated[
        str, typer.Option(help="A file, or a folder (ends in /) with a file for each tenant and day.")
    ] = "",
    client: Account = None,
    engagement: OneEngagement = None,
    every: Every = False,
    thin: Annotated[
        bool, typer.Option("--thin", help="Keep the rows, cut down to what summaries show.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the rows of flows that ended to an archive, then delete them; `flow restore` brings them back.

    With --thin they stay, without what is heavy: saved states, checkpoints, long entries. Without --to that
    is gone for good. Flows that go on, wait, or are lost stay as they are.
    """  # noqa: DOC501
    from masterflow.domain import InputInvalid
    from masterflow.repository.database import session_factory
    from masterflow.repository.retention.ended import Ended, EndedFlows
    from masterflow.scripts.database import with_engine
    from masterflow.tasks.retention.archive import Archive
    from masterflow.tasks.retention.rounds import Outcome, run_rounds

    if not (client or every):
        raise InputInvalid("Say whose flows: --client, or --all for those of every tenant.")
    if not (to or thin or dry_run):
        raise InputInvalid("Say where the rows go: --to FILE, or --to FOLDER/.")
    meant = Ended(
        before=_before(older_than),
        client_account_id=None if every else client,
        engagement_id=None if every else engagement,
        to_thin=thin,
    )
    place = Archive.at(to) if to else None

    async def work(engine: "AsyncEngine") -> "tuple[Outcome, Sequence[TenantCount]]":
        flows = EndedFlows(session_factory(engine), meant)
        outcome = Outcome()
        if not dry_run:
            await _warn_of_slow_keys(flows, thins=thin)
            try:
                outcome = await run_rounds(flows, place, thins=thin)
            except OSError as error:
                raise InputInvalid(
                    f"{error.filename or to} cannot be written ({error.strerror}); no row that is not in an"
                    " archive was deleted. Mend that and run it again."
                ) from error
        return outcome, await flows.count()

    outcome, left = with_engine(work)
    if dry_run:
        _print_counts(left, meant, as_json=as_json)
    else:
        _print_outcome(outcome, left, place, thins=thin, as_json=as_json)


@group.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A file of `flow archive`, or its folder.")],
    *,
    client: Account = None,
    engagement: OneEngagement = None,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """Put archived rows back as they were; a flow that is there stays, unless it was only thinned."""  # noqa: DOC501
    from masterflow.domain import InputInvalid
    from masterflow.repository.database import session_factory
    from masterflow.scripts.database import with_engine
    from masterflow.tasks.retention.archive import Archive
    from masterflow.tasks.retention.restoring import restore_archive

    if not (client or every):
        raise InputInvalid("Say whose flows: --client, or --all for those of every tenant.")
    tenant: dict[str, UUID | None] = (
        {} if every else {"client_account_id": client, "engagement_id": engagement}
    )

    async def work(engine: "AsyncEngine") -> "Restored":
        return await restore_archive(session_factory(engine), Archive.at(str(path)), **tenant)

    done = with_engine(work)
    lines = [f"{done.restored:,} {_flows(done.restored)} restored, {done.there:,} there already."]
    if done.damaged:
        lines.append(
            f"{done.damaged:,} are not what was archived, and were left: {done.first_damaged} first."
        )
    if done.parents_missing:
        lines.append(
            f"{done.parents_missing:,} name a parent that is not there: restore that, then this once more."
        )
    print_done("\n".join(lines), as_json=as_json, **_counts(done))
    if done.damaged:
        sys.exit(1)


def _before(text: str) -> datetime:
    from masterflow.domain import InputInvalid

    span = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if not span or not int(span[1]):
        raise InputInvalid(f"--older-than {text!r:.40} is no span of time; pass 90d, 12h or 8w.")
    return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})


async def _warn_of_slow_keys(flows: "EndedFlows", *, thins: bool) -> None:
    for key in [] if thins else await flows.references():
        if key.is_own and not key.is_indexed and key.rows > _MANY_ROWS:
            complain(
                f"{key.name} has about {key.rows:,} rows and no index on {key.columns[0]}, so that each"
                " deletion reads all of it. `CREATE INDEX CONCURRENTLY ON"
                f" {key.name} ({key.columns[0]}) WHERE {key.columns[0]} IS NOT NULL` makes this quick."
            )


def _print_counts(counts: "Sequence[TenantCount]", meant: "Ended", *, as_json: bool) -> None:
    if as_json:
        told = [asdict(one) for one in counts]
        print_json({"before": meant.before.isoformat(), "tenants": [_plain(one) for one in told]})
        return
    print_table(
        ("client account", "engagement", "flows", "stay", "MB", "first", "last"),
        (
            (
                str(one.client_account_id),
                str(one.engagement_id),
                f"{one.flows:,}",
                f"{one.named:,}",
                f"{one.bytes / 1e6:,.1f}",
                one.first[:10],
                one.last[:10],
            )
            for one in counts
        ),
        empty="There are no such flows.",
    )


def _print_outcome(
    outcome: "Outcome",
    left: "Sequence[TenantCount]",
    place: "Archive | None",
    *,
    thins: bool,
    as_json: bool,
) -> None:
    named = 0 if thins else sum(one.named for one in left)
    verb = "thinned" if thins else "archived"
    where = f" in {place.path}" if place else ""
    print_done(
        f"{outcome.done:,} {_flows(outcome.done)} {verb}{where}, {outcome.kept:,} left as they changed or"
        " were in use.",
        as_json=as_json,
        done=outcome.done,
        kept=outcome.kept,
        named=named,
    )
    if named and not as_json:
        say(f"{named:,} stay, as rows of other tables or flows name them by a foreign key.")


def _counts(done: "Restored") -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in asdict(done).items()}


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in one.items()}


def _flows(count: int) -> str:
    return "flow" if count == 1 else "flows"
