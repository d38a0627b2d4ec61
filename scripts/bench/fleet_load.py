"""How soon a fleet is counted, how fast its overview comes then, and what following it costs Postgres."""

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import make_url

from masterflow.domain.clock import parse_time
from masterflow.scripts.bench.http_load import Connections, percentile

_WINDOWS: Final = ("hour", "day", "week", "month")
_FOLLOWED_S: Final = 30
_BACKENDS: Final = "select pid from pg_stat_activity where application_name = 'enrichment-status'"


async def measure_fleet(port: int, database_url: str, token: str, *, seconds: int) -> None:
    """Print figures for the account of a token."""
    started = time.monotonic()
    first = await asyncio.to_thread(_fleet, port, token)
    print(f"\nFleet: the first answer after {time.monotonic() - started:.1f} s, whole: {_is_whole(first)}")
    view = await asyncio.to_thread(_whole_fleet, port, token)
    print(f"  all counted after {time.monotonic() - started:.1f} s: {view['in_all']['started']:,} in a month")
    pids = _backends(database_url)
    cpu_s = sum(map(_cpu_s, pids))
    await asyncio.sleep(_FOLLOWED_S)
    share = (sum(map(_cpu_s, pids)) - cpu_s) / _FOLLOWED_S
    behind_s = _behind_s(await asyncio.to_thread(_fleet, port, token))
    print(f"  following takes {share * 100:.2f} % of one core of Postgres, and is {behind_s:.1f} s behind")
    async with Connections(port) as connections:
        for window in _WINDOWS:
            times = await connections.load(
                [(f"/api/v1/fleet?window={window}", token)], rate=5, seconds=seconds
            )
            figures = ", ".join(f"p{at} {percentile(times, at):.0f} ms" for at in (50, 95, 99))
            print(f"  {window}: {len(times)} requests, {figures} (p95 wanted: 300 ms)")


def _whole_fleet(port: int, token: str) -> Any:
    while not _is_whole(view := _fleet(port, token)):
        time.sleep(0.5)
    return view


def _fleet(port: int, token: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/fleet?window=month", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def _is_whole(view: Any) -> bool:
    return bool(view["window"]["is_whole"])


def _behind_s(view: Any) -> float:
    at = parse_time(view["window"]["as_of"])
    return time.time() - at.timestamp() if at else 0.0


def _backends(database_url: str) -> Sequence[int]:
    address = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        return [row[0] for row in connection.execute(_BACKENDS)]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
