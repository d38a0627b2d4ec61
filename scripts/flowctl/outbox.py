"""`flowctl outbox`: what processes of this host have reported and no worker has confirmed yet."""

import time
from dataclasses import asdict
from typing import Annotated, Final

import typer

from masterflow import tracker
from masterflow.scripts.flowctl.options import AsJson
from masterflow.scripts.flowctl.output import print_done, print_json, print_table
from masterflow.scripts.outbox_metrics import outbox_metrics
from masterflow.scripts.terminal.failures import fail
from masterflow.tracker.outbox import spool
from masterflow.tracker.outbox.settings import OutboxSettings

group = typer.Typer(no_args_is_help=True, help="Events of this host that no worker has confirmed yet.")

_LOOK_INTERVAL_S: Final = 0.1


@group.command()
def status(*, as_json: AsJson = False) -> None:
    """Show what waits, by process."""
    found = _folders()
    if as_json:
        print_json([asdict(folder) for folder in found])
        return
    print_table(
        ("process", "alive", "events", "bytes", "oldest"),
        (
            (
                folder.name,
                "yes" if folder.has_owner else "no",
                str(folder.records),
                str(folder.bytes),
                f"{folder.oldest_age_s:.0f} s" if folder.records else "",
            )
            for folder in found
        ),
        empty="Nothing waits.",
    )


@group.command()
def metrics() -> None:
    """Print what waits as Prometheus's node exporter reads it from a file (`textfile` collector)."""
    print(outbox_metrics(_folders()), end="")


@group.command()
def adopt(*, as_json: AsJson = False) -> None:
    """Take over what dead processes left, and begin to send it."""
    left = sum(folder.records for folder in _folders() if not folder.has_owner)
    tracker.adopt()
    print_done(f"{left} events taken over.", as_json=as_json, taken_over=left)


@group.command()
def flush(
    *,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Wait until workers have confirmed everything, of dead processes too; exit code 1 if they have not."""
    deadline = time.monotonic() + timeout_s
    tracker.adopt()
    tracker.flush(timeout_s)
    folder = OutboxSettings().spool_dir
    while (waiting := spool.waiting_records(folder)) and time.monotonic() < deadline:
        time.sleep(_LOOK_INTERVAL_S)
    if waiting:
        fail(f"{waiting} events are not confirmed after {timeout_s:.0f} s; is a worker running?")
    print_done("Everything is confirmed.", as_json=as_json, waiting=0)


@group.command()
def purge(
    *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: AsJson = False
) -> None:
    """Delete what dead processes left, undelivered."""
    if not yes:
        typer.confirm("Events that no worker has seen will be lost. Go on?", abort=True, err=True)
    count = spool.purge(OutboxSettings().spool_dir)
    print_done(f"{count} events deleted.", as_json=as_json, deleted=count)


def _folders() -> list[spool.FolderStatus]:
    return spool.statuses(OutboxSettings().spool_dir)
