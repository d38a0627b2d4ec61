"""One Celery task for each event: a worker locks the row, reads it, and writes it back changed."""

import os
import time
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import psycopg
import redis
from celery import Celery
from psycopg.types.json import Jsonb

from masterflow.scripts.bench.peers.rows import Rows
from masterflow.scripts.bench.peers.workload import (
    NEWEST,
    Spec,
    Stopwatch,
    entry,
    flow_uuid,
    in_lanes,
    phase_of,
    serve,
)

_QUEUE: Final = "bench-events"
_TABLE: Final = "migration.crewai_flow_state_extensions"
_LOCKED: Final = f"""
select phase_transitions, agent_collaboration_log, phase_execution_times, flow_status from {_TABLE}
where flow_id = %s for update
"""  # noqa: S608
_WRITE: Final = f"""
update {_TABLE} set phase_transitions = %s, agent_collaboration_log = %s, phase_execution_times = %s,
    flow_status = %s, updated_at = now()
where flow_id = %s
"""  # noqa: S608

app = Celery("bench", broker=os.environ["BENCH_BROKER"], set_as_current=False)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)
_connections: dict[int, "psycopg.Connection[Any]"] = {}


@app.task(name="bench.apply")
def apply(flow_id: str, kind: str, event: dict[str, Any]) -> None:
    """Merge one event into its row, in a transaction of its own."""
    connection = _connection()
    with connection.transaction():
        [[transitions, log, times, status]] = connection.execute(_LOCKED, [flow_id]).fetchall()
        if kind == "transition":
            transitions = _newest(transitions, event)
        elif kind == "entry":
            log = _newest(log, event)
        elif kind == "time":
            times[event["phase"]] = {
                "execution_time_ms": event["ms"],
                "completed_at": event["timestamp"],
                "attempts": times.get(event["phase"], {}).get("attempts", 0) + 1,
            }
        else:
            status = event["status"]
        connection.execute(_WRITE, [Jsonb(transitions), Jsonb(log), Jsonb(times), status, flow_id])


def _now() -> str:
    return datetime.now(UTC).isoformat("T", "microseconds")


def _newest(entries: list[dict[str, Any]], event: dict[str, Any]) -> list[dict[str, Any]]:
    """Add an entry where its time puts it: two workers finish their tasks in any order."""
    return sorted([*entries, event], key=lambda item: item["timestamp"])[-NEWEST:]


def _connection() -> "psycopg.Connection[Any]":
    """Return this process's connection."""
    if os.getpid() not in _connections:
        _connections[os.getpid()] = psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True)
    return _connections[os.getpid()]


class CeleryTasks:
    """Four tasks a phase: its begin, the agent's entry, its time and its end."""

    def __init__(self, spec: Spec, stopwatch: Stopwatch) -> None:
        self._spec = spec
        self._stopwatch = stopwatch
        self._connection = psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True)
        self._rows = Rows(self._connection, spec)
        self._broker = redis.Redis.from_url(os.environ["BENCH_BROKER"])

    def prepare(self) -> None:
        """Make the rows, and connect to the broker."""
        self._rows.make()
        self._send(2**64, "nothing", {"status": "processing"}, queue="bench-warm")

    def run(self) -> None:
        """Send all events, and wait until the worker has nothing left."""
        in_lanes(self._spec, self._flow)
        while self._broker.llen(_QUEUE) or self._broker.hlen("unacked"):
            time.sleep(0.02)

    def check(self) -> None:
        """Read the rows."""
        self._rows.check()

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()
        self._connection.close()

    def _flow(self, number: int) -> None:
        self._stopwatch.begin()
        for step in self._spec.steps:
            name = phase_of(step)
            began = time.perf_counter()
            self._send(number, "transition", {"phase": name, "status": "processing", "metadata": {}})
            self._stopwatch.body()
            self._send(number, "entry", {"phase": name, **entry(step)})
            self._send(number, "time", {"phase": name, "ms": (time.perf_counter() - began) * 1_000})
            self._send(number, "transition", {"phase": name, "status": "completed", "metadata": {}})
        self._send(number, "status", {"status": "completed"})
        self._stopwatch.end()

    def _send(self, number: int, kind: str, event: dict[str, Any], queue: str = _QUEUE) -> None:
        event = {"id": str(uuid4()), "timestamp": _now(), **event}
        apply.apply_async((str(flow_uuid(number)), kind, event), queue=queue)


if __name__ == "__main__":
    serve(CeleryTasks)
