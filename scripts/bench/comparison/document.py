"""Tells what was measured as tables and drawings, and writes it between the markers of a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from masterflow.domain import InputInvalid
from masterflow.scripts.bench.comparison.charts import Bar, draw, picture

BEGIN: Final = "<!-- measured: begin -->"
END: Final = "<!-- measured: end -->"

Figures = dict[str, Any]


def write(page: Path, measured: str) -> None:
    """Replace what is between the markers of a page.

    Raises:
        InputInvalid: it has no such markers.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputInvalid(f"{page} needs the lines {BEGIN} and {END}, to write the figures between them.")
    page.write_text(f"{before}{BEGIN}\n\n{measured}\n{END}{after}", encoding="utf-8")


def page_of(figures: Figures) -> str:
    """Return the tables as Markdown."""
    parts = [
        _about(figures["about"]),
        "### What a phase costs the flow\n",
        _picture(figures, "cost", "What a phase costs the thread that runs the flow"),
        _cost_table(figures["cost"]),
        _aside(figures["aside"]),
        "### How many phases a second become durable\n",
        _picture(figures, "throughput", "Phases a second, from the first call until all is in Postgres"),
        _rate_table(figures["throughput"]),
        _bytes_table(figures["throughput"]),
        _lag_table(figures["lag"]),
        "### Age and size\n",
        _growth(figures["ages"], figures["tables"]),
        "### Workers and brokers\n",
        _backlog_table(figures["backlog"]),
    ]
    return "\n".join(part for part in parts if part)


_LAG: Final = (
    "events/s",
    *("p50 ms", "p90 ms", "p99 ms", "worst ms"),
    *("a hook p50, p99 \u00b5s", "a log line beside it p50, p99 \u00b5s"),
)


def _about(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"Measured on {about['date']}, commit `{about['commit']}`: {about['machine']}. {about['servers']}."
        f" {versions}.\n\nCommand: `{about['command']}`. {about['load']}\n"
    )


def _cost_table(rows: Sequence[dict[str, Any]]) -> str:
    ours = next((row["mean_us"] for row in rows if row["is_ours"]), None)
    head = ("\u00b5s a phase", "mean", "p50", "p99", "worst", "mean to ours")
    body = []
    for row in rows:
        if "failed" in row:
            body.append([row["name"], f"left out: {row['failed']}", *[""] * 4])
            continue
        cells = [f"{row[name]:,.0f}" for name in ("mean_us", "p50_us", "p99_us", "worst_us")]
        body.append([_name(row), *cells, f"{row['mean_us'] / ours:.1f}" if ours else ""])
    return _table(head, body)


def _aside(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    return "Not equal work, and so apart:\n\n" + _cost_table(rows)


def _rate_table(rows: Sequence[dict[str, Any]]) -> str:
    loads = list(rows[0]["loads"])
    body = []
    for row in rows:
        found = row["loads"].values()
        body.append([_name(row), *(_rate(one) for one in found)])
    return _table(("phases/s", *loads), body)


def _rate(found: dict[str, Any]) -> str:
    return "failed" if "failed" in found else f"{found['phases_per_s']:,.0f}"


def _bytes_table(rows: Sequence[dict[str, Any]]) -> str:
    body = []
    for row in rows:
        name, found = list(row["loads"].items())[-2 if len(row["loads"]) > 1 else 0]
        if "failed" in found:
            continue
        cells = [f"{found['wal_bytes_per_phase']:,.0f}", f"{found['table_bytes_per_phase']:,.0f}"]
        memory = [
            f"{found['peak_mb']:,.0f}",
            f"{found['worker_peak_mb']:,.0f}" if found["worker_peak_mb"] else "",
        ]
        body.append([_name(row), name, *cells, *memory])
    head = (
        "",
        "load",
        "WAL bytes a phase",
        "table bytes a phase",
        "MB, flow's process",
        "MB, worker's process",
    )
    return _table(head, body)


def _lag_table(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    return "### From hook to commit\n\n" + _table(_LAG, map(_lag_cells, rows))


def _lag_cells(row: dict[str, Any]) -> list[str]:
    names = ("p50_ms", "p90_ms", "p99_ms", "worst_ms")
    costs = [f"{row[f'{what}_p50_us']:,.0f}, {row[f'{what}_p99_us']:,.0f}" for what in ("hook", "log_line")]
    return [f"{row['events_per_s']:,}", *(f"{row[name]:,.0f}" for name in names), *costs]


def _growth(ages: Sequence[dict[str, Any]], tables: Sequence[dict[str, Any]]) -> str:
    old = [[f"a flow of {row['events']:,} events", f"{row['us_per_event']:,.0f}"] for row in ages]
    large = [[f"a table of {row['rows']:,} rows", f"{row['us_per_event']:,.0f}"] for row in tables]
    return _table(("merging 50 events in one transaction", "\u00b5s an event"), [*old, *large])


def _backlog_table(rows: Sequence[dict[str, Any]]) -> str:
    body = []
    for row in rows:
        if "failed" in row:
            body.append([row["broker"], f"left out: {row['failed']}", "", ""])
            continue
        body.append(
            [
                row["broker"],
                str(row["workers"]),
                f"{row['phases']:,}",
                f"{row['drained_phases_per_s']:,.0f}",
                f"{row['worker_peak_mb']:,.0f}",
            ]
        )
    return _table(("broker", "worker processes", "backlog, phases", "phases/s drained", "MB, each"), body)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)]), *map(_line, body)]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _name(row: dict[str, Any]) -> str:
    return f"**{row['name']}**" if row["is_ours"] else str(row["name"])


def _picture(figures: Figures, name: str, text: str) -> str:
    return picture("images", f"benchmark-{name}", text) + "\n" if figures[name] else ""


def draw_all(folder: Path, figures: Figures) -> None:
    """Draw what the first two measures found."""
    costs = [
        Bar(row["name"], row["mean_us"], row["is_ours"]) for row in figures["cost"] if "failed" not in row
    ]
    draw(
        folder, "benchmark-cost", "What a phase costs the flow", "mean \u00b5s a phase; less is better", costs
    )
    [load, *_] = figures["throughput"][0]["loads"]
    rates = [
        Bar(row["name"], row["loads"][load]["phases_per_s"], row["is_ours"])
        for row in figures["throughput"]
        if "failed" not in row["loads"][load]
    ]
    subtitle = f"phases a second until all is in Postgres, {load}; more is better"
    draw(folder, "benchmark-throughput", "Durable phases a second", subtitle, rates)
