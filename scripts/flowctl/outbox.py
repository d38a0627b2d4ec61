"""`flowctl outbox`: what processes of this host have reported and no worker has confirmed yet."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from masterflow.scripts.flowctl.options import AsJson, command_group
from masterflow.scripts.flowctl.output import print_done, print_json, print_table
from masterflow.scripts.terminal.failures import fail
from masterflow.scripts.terminal.text import say

if TYPE_CHECKING:
    from masterflow.tracker.outbox.spool import FolderStatus

Everything = Annotated[
    bool, typer.Option("--all", help="Also what is for another broker, or does not say for which.")
]

group = command_group("Events of this host that no worker has confirmed yet.")

_LOOK_INTERVAL_S: Final = 0.1


@group.command()
def status(*, as_json: AsJson = False) -> None:
    """Show what waits, by process, and what cannot be looked at."""
    found = _folders()
    if as_json:
        print_json([asdict(folder) for folder in found])
        return
    print_table(
        ("process", "alive", "events", "bytes", "oldest", "broker", "remark"),
        (
            (
                folder.name,
                "yes" if folder.has_owner else "no",
                "?" if folder.trouble and not folder.records else str(folder.records),
                str(folder.bytes),
                f"{folder.oldest_age_s:.0f} s" if folder.records else "",
                folder.broker,
                folder.trouble or _remark(folder),
            )
            for folder in found
        ),
        empty="Nothing waits.",
    )


@group.command()
def metrics() -> None:
    """Print what waits as Prometheus's node exporter reads it from a file (`textfile` collector)."""
    from masterflow.scripts.outbox_metrics import outbox_metrics

    for line in outbox_metrics(_folders()).splitlines():
        say(line)


@group.command()
def adopt(*, everything: Everything = False, as_json: AsJson = False) -> None:
    """Take over what dead processes left, and begin to send it."""
    from masterflow.tracker.outbox.process import process_delivery

    taken_over = process_delivery.take_over(whoever=everything)
    print_done(f"{taken_over} events taken over.", as_json=as_json, taken_over=taken_over)


@group.command()
def flush(
    *,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0, max=604_800, help="Seconds to wait.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Wait until workers have confirmed everything, of dead processes too; exit code 1 if they have not."""
    from masterflow import tracker
    from masterflow.tracker.outbox import spool
    from masterflow.tracker.outbox.process import process_delivery
    from masterflow.tracker.outbox.settings import OutboxSettings

    deadline = time.monotonic() + timeout_s
    process_delivery.take_over()
    tracker.flush(timeout_s)
    folder = OutboxSettings().spool_dir
    while (waiting := spool.waiting_records(folder)) and time.monotonic() < deadline:
        time.sleep(_LOOK_INTERVAL_S)
    if waiting:
        obstacles = "".join(
            f" {it.name}: {remark}." for it in _folders() if (remark := it.trouble or _remark(it))
        )
        fail(f"{waiting} events are not confirmed after {timeout_s:.0f} s; is a worker running?{obstacles}")
    print_done("Everything is confirmed.", as_json=as_json, waiting=0)


@group.command()
def purge(
    *,
    everything: Everything = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what dead processes left, undelivered."""
    from masterflow.tracker.outbox import spool
    from masterflow.tracker.outbox.delivery import own_broker
    from masterflow.tracker.outbox.settings import OutboxSettings

    if not yes:
        typer.confirm("Events that no worker has seen will be lost. Go on?", abort=True, err=True)
    count = spool.purge(OutboxSettings().spool_dir, broker=None if everything else own_broker())
    print_done(f"{count} events deleted.", as_json=as_json, deleted=count)


def _remark(folder: "FolderStatus") -> str:
    from masterflow.tracker.outbox.delivery import own_broker

    if folder.has_owner or not folder.records or (folder.broker and folder.broker == own_broker()):
        return ""
    whose = "left for another broker" if folder.broker else "does not say for which broker"
    return f"{whose}; `flowctl outbox adopt --all` takes it over"


def _folders() -> "list[FolderStatus]":
    from masterflow.tracker.outbox import spool
    from masterflow.tracker.outbox.settings import OutboxSettings

    return spool.statuses(OutboxSettings().spool_dir)
