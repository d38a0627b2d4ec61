"""crewAI with its own persistence: a method for each phase, and the state in a file of SQLite after each.

That is not durable as Postgres is: it is a file of one host. crewAI brings nothing for Postgres.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

from crewai.flow.flow import Flow, listen, start
from crewai.flow.persistence import SQLiteFlowPersistence, persist

from masterflow.scripts.bench.peers.workload import (
    NEWEST,
    PHASES,
    Spec,
    Stopwatch,
    entry,
    expect,
    expect_steps,
    flow_uuid,
    in_lanes,
    serve,
)

_SAVED: Final = "select method_name, state_json from flow_states where flow_uuid = ? order by id"


class CrewAIFlows:
    """A flow of ten methods, run once; `option` is `sqlite`, or `none` for a flow that is not kept."""

    def __init__(self, spec: Spec, stopwatch: Stopwatch) -> None:
        self._spec = spec
        self._stopwatch = stopwatch
        self._file = Path(os.environ["BENCH_FOLDER"]) / "flow_states.db"

    def prepare(self) -> None:
        """Make the class, and run one flow."""
        methods: dict[str, Any] = {}
        for number, name in enumerate(PHASES):
            condition = listen(PHASES[number - 1]) if number else start()
            methods[name] = condition(_method(name, number, self._stopwatch))
        self._flow_class = type("BenchFlow", (Flow,), methods)
        if self._spec.option == "sqlite":
            self._flow_class = persist(SQLiteFlowPersistence(str(self._file)))(self._flow_class)
        self._flow(2**64)
        self._stopwatch.costs.clear()

    def run(self) -> None:
        """Run all flows."""
        in_lanes(self._spec, self._flow)

    def check(self) -> None:
        """Read what was saved."""
        if self._spec.option != "sqlite":
            return
        with closing(sqlite3.connect(self._file)) as connection:
            for number in self._spec.numbers:
                saved = connection.execute(_SAVED, [str(flow_uuid(number))]).fetchall()
                expect(number, "methods saved", [name for name, _ in saved], list(PHASES))
                state = json.loads(saved[-1][1])
                expect_steps(self._spec, number, [item["details"]["step"] for item in state["log"]])
                expect(number, "times", sorted(state["times"]), sorted(PHASES))

    def close(self) -> None:
        """Nothing is kept open."""

    def _flow(self, number: int) -> None:
        values = {"id": str(flow_uuid(number)), "transitions": [], "log": [], "times": {}}
        self._stopwatch.begin()
        with redirect_stdout(StringIO()):
            self._flow_class(suppress_flow_events=True).kickoff(inputs=values)
        self._stopwatch.end()


def _method(name: str, number: int, stopwatch: Stopwatch) -> Callable[[Any], None]:
    def run(self: Any) -> None:
        began = time.perf_counter()
        started = {"phase": name, "status": "processing", "timestamp": time.time()}
        stopwatch.body()
        ended = {"phase": name, "status": "completed", "timestamp": time.time()}
        self.state["transitions"] = [*self.state["transitions"], started, ended][-NEWEST:]
        self.state["log"] = [*self.state["log"], {"phase": name, "timestamp": time.time(), **entry(number)}][
            -NEWEST:
        ]
        self.state["times"] = {**self.state["times"], name: (time.perf_counter() - began) * 1_000}

    run.__name__ = name
    return run


if __name__ == "__main__":
    serve(CrewAIFlows)
