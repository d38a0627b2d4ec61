"""The benchmark: everyone over the same loads in one run; `./scripts/bench/run` runs it."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import psycopg
import redis
import typer

from masterflow.scripts.bench.comparison import document, growth, machine
from masterflow.scripts.bench.comparison.contest import ROOT, Contestant
from masterflow.scripts.bench.comparison.contestants import ASIDE, BY_HAND, OURS, PEERS
from masterflow.scripts.bench.comparison.lags import lags
from masterflow.scripts.bench.comparison.measures import DEFAULT, QUICK, Sizes, backlog, cost, throughput
from masterflow.scripts.bench.comparison.results import Results, state_of_the_code
from masterflow.scripts.bench.comparison.servers import Place
from masterflow.scripts.bench.comparison.sizing import sizing
from masterflow.scripts.terminal.entrance import run_program

_PAGE: Final = ROOT / "docs" / "benchmarks.md"
_OPERATIONS: Final = ROOT / "docs" / "operations.md"
_KEPT: Final = ROOT / ".local" / "benchmark"

#: What takes an hour or two.
_LONG: Final[dict[str, Any]] = {
    "backlog_flows": 33_000,
    "ages": (1_000, 100_000, 5_000_000),
    "tables": (1_000, 100_000, 10_000_000),
}


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A minute of small loads, without peers.")] = False,
    long: Annotated[
        bool, typer.Option("--long", help="A backlog of a million events, 10 million rows.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what was measured already.")] = False,
    kept: Annotated[Path, typer.Option(help="Where figures are kept, to go on later.")] = _KEPT,
    page: Annotated[Path | None, typer.Option(help="Where to write, if not to docs/benchmarks.md.")] = None,
) -> None:
    """Measure, print the page, and write it between the markers of docs/benchmarks.md (--quick: --page)."""
    sizes = QUICK if quick else DEFAULT._replace(**_LONG) if long else DEFAULT
    results = Results(kept, f"{state_of_the_code(ROOT)} {sizes}")
    if again:
        results.forget()
    command = "./scripts/bench/run" + " --quick" * quick + " --long" * long
    peers, aside = ((), ()) if quick else (PEERS, ASIDE)
    figures = _measure(results, sizes, command, (OURS, *BY_HAND, *peers), aside)
    tables = document.page_of(figures)
    print(tables)
    if page or not quick:
        document.write(page or _PAGE, tables)
        document.draw_all((page or _PAGE).with_name("images"), figures)
    if page is None and not quick:
        document.write(_OPERATIONS, sizing(figures))


def _measure(
    results: Results, sizes: Sizes, command: str, equals: Sequence[Contestant], aside: Sequence[Contestant]
) -> document.Figures:
    with TemporaryDirectory(prefix="bench-") as folder, Place(Path(folder)) as place:
        return {
            "about": results.get("about", lambda: machine.about(command, _servers(place))),
            "cost": cost(place, results, equals, sizes.cost_flows),
            "aside": cost(place, results, aside, sizes.slow_flows),
            "throughput": throughput(place, results, equals, sizes.loads),
            "lag": results.get("lag", lambda: lags(place, sizes.rates, sizes.lag_s)),
            "ages": results.get("ages", lambda: growth.ages(place, sizes.ages)),
            "tables": results.get("tables", lambda: growth.tables(place, sizes.tables)),
            "backlog": backlog(place, results, sizes),
        }


def _servers(place: Place) -> str:
    with place.fresh("versions") as settings:
        with psycopg.connect(settings["BENCH_POSTGRES"]) as connection:
            [postgres] = connection.execute("show server_version").fetchone() or ("?",)
        with redis.Redis.from_url(settings["REDIS_URL"]) as client:
            information: Any = client.info("server")
    redis_version = information["redis_version"]
    return (
        f"PostgreSQL {postgres} with its defaults and Redis {redis_version}, append-only, on the same machine"
    )


if __name__ == "__main__":
    run_program(lambda: typer.run(main))
