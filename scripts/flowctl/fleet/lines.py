"""A fleet as a terminal shows it: sentences for how it stands, tables for the rest."""

from collections.abc import Mapping

from masterflow.domain.shown.times import moment
from masterflow.scripts.flowctl.output import print_table
from masterflow.scripts.terminal.text import say
from masterflow.status import usage
from masterflow.status.durations import lasting
from masterflow.status.fleet.views import FleetUsage, FleetView, PhaseDurations
from masterflow.status.fleet.words import change, rate


def print_fleet(view: FleetView) -> None:
    """Print an overview."""
    counts, now = view.in_all, view.now
    since = moment(view.window.since)
    failed = f"{counts.failed} failed ({rate(view.failure_rate)})" if counts.failed else "none failed"
    say(
        f"Since {since}: {counts.started} began, {counts.completed} completed, {failed},"
        f" {counts.cancelled} cancelled."
    )
    silent = "unknown" if now.silent is None else now.silent
    say(f"Open now: {_counted(now.by_status) or 'none'}.")
    say(f"Lost: {now.lost}. Silent: {silent}. Overdue: {now.overdue}. Waiting for somebody: {now.waiting}.")
    if now.longest_waiting_since is not None:
        age_ms = (view.window.as_of - now.longest_waiting_since).total_seconds() * 1000
        say(f"The longest has waited for {lasting(age_ms)}.")
    if view.by_type:
        say("")
        rows = ((one.flow_type, _counted(one.by_status)) for one in view.by_type)
        print_table(("type", "began"), rows, empty="")
    if view.phases:
        say("")
        print_table(
            ("phase", "type", "times", "p50", "p95", "against before"),
            map(_phase, view.phases),
            empty="",
        )
    if view.causes:
        say("")
        print_table(
            ("flows", "cause", "first seen", "last seen"),
            (
                (
                    str(one.flows),
                    one.cause,
                    moment(one.first_seen_at),
                    moment(one.last_seen_at),
                )
                for one in view.causes
            ),
            empty="",
        )
    _print_usage(view.usage)


def _print_usage(used: FleetUsage) -> None:
    if not used.in_all.calls:
        return
    say("")
    say(f"Used: {usage.used(used.in_all)}.")
    print_table(
        ("agent", "model", "calls", "cost"),
        ((one.agent, one.model, usage.calls(one), usage.cost(one)) for one in used.by_agent),
        empty="",
    )


def _phase(one: PhaseDurations) -> tuple[str, ...]:
    durations = lasting(one.now.p50_ms), lasting(one.now.p95_ms)
    return one.phase, one.flow_type, str(one.now.count), *durations, change(one.p95_change)


def _counted(by_status: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in by_status.items())
