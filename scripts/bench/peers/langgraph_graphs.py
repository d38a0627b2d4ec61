"""LangGraph with PostgresSaver: a node for each phase, and a checkpoint of the state after each."""

import os
import time
from operator import or_
from typing import Annotated, Any

import psycopg
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool
from typing_extensions import TypedDict

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
    old_entry,
    phase_of,
    serve,
)


def _newest(old: list[Any], new: list[Any]) -> list[Any]:
    return [*old, *new][-NEWEST:]


class State(TypedDict):
    """What our row holds of a flow: transitions, errors, the agents' log, and the times of phases."""

    step: int
    transitions: Annotated[list[dict[str, Any]], _newest]
    errors: Annotated[list[dict[str, Any]], _newest]
    log: Annotated[list[dict[str, Any]], _newest]
    times: Annotated[dict[str, Any], or_]


class LangGraphFlows:
    """A thread of LangGraph for each flow; `option` is the durability, or `none` for no checkpoints."""

    def __init__(self, spec: Spec, stopwatch: Stopwatch) -> None:
        self._spec = spec
        self._stopwatch = stopwatch
        self._pool: ConnectionPool[psycopg.Connection[dict[str, Any]]] | None = None

    def prepare(self) -> None:
        """Make the tables, the graph, and full states if there shall be some."""
        saver: BaseCheckpointSaver[Any] | None = None
        if self._spec.option != "none":
            self._pool = ConnectionPool(
                os.environ["BENCH_POSTGRES"],
                kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
                min_size=self._spec.lanes,
                max_size=2 * self._spec.lanes,
            )
            saver = PostgresSaver(self._pool)
            saver.setup()
        self._graph = self._make_graph(saver)
        if self._spec.is_full:
            in_lanes(self._spec, self._fill)

    def run(self) -> None:
        """Run all flows, each round as one more call of the same thread."""
        in_lanes(self._spec, self._flow)

    def check(self) -> None:
        """Read the states back."""
        if self._pool is None:
            return
        for number in self._spec.numbers:
            state = self._graph.get_state(self._config(number)).values
            expect(number, "the step", state["step"], len(self._spec.steps))
            expect_steps(self._spec, number, [item["details"]["step"] for item in state["log"]])
            expect(number, "times", sorted(state["times"]), sorted(PHASES))
            newest = [phase_of(step) for step in self._spec.steps for _ in range(2)][-NEWEST:]
            found = [item["phase"] for item in state["transitions"]][-len(newest) :]
            expect(number, "transitions", found, newest)

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.close()

    def _make_graph(self, saver: "BaseCheckpointSaver[Any] | None") -> Any:
        builder = StateGraph(State)
        for name in PHASES:
            builder.add_node(name, self._node(name))
        for first, second in zip((START, *PHASES), (*PHASES, END), strict=True):
            builder.add_edge(first, second)
        return builder.compile(checkpointer=saver)

    def _node(self, name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            began = time.perf_counter()
            started = {"phase": name, "status": "processing", "timestamp": time.time(), "metadata": {}}
            self._stopwatch.body()
            ended = {"phase": name, "status": "completed", "timestamp": time.time(), "metadata": {}}
            return {
                "step": state["step"] + 1,
                "transitions": [started, ended],
                "log": [{"phase": name, "timestamp": time.time(), **entry(state["step"])}],
                "times": {name: {"execution_time_ms": (time.perf_counter() - began) * 1_000}},
            }

        return run

    def _flow(self, number: int) -> None:
        durability = {"durability": self._spec.option} if self._pool is not None else {}
        config = self._config(number)
        for round_number in range(self._spec.rounds):
            self._stopwatch.begin()
            start = None if self._spec.is_full or round_number else 0
            values: dict[str, Any] = {"transitions": [], "errors": [], "log": [], "times": {}}
            self._graph.invoke(values if start is None else {"step": 0, **values}, config, **durability)
            self._stopwatch.end()

    def _fill(self, number: int) -> None:
        old = [
            {"phase": f"old_{n}", "status": "completed", "timestamp": n, "metadata": {}}
            for n in range(NEWEST)
        ]
        errors = [
            {"phase": f"old_{n}", "error": f"row {n}: bad address", "timestamp": n} for n in range(NEWEST)
        ]
        log = [{"phase": f"old_{n}", "timestamp": n, **old_entry(NEWEST - 1 - n)} for n in range(NEWEST)]
        values = {"step": 0, "transitions": old, "errors": errors, "log": log, "times": {}}
        self._graph.update_state(self._config(number), values, as_node=PHASES[-1])

    @staticmethod
    def _config(number: int) -> dict[str, Any]:
        return {"configurable": {"thread_id": str(flow_uuid(number))}}


if __name__ == "__main__":
    serve(LangGraphFlows)
