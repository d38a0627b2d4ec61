"""Time a flow of crewAI of 80 methods with the bridge and without, in turns within one run.

Run it as `.local/crewai/bin/python -m masterflow.scripts.bench.crewai`; `bash scripts/environment.sh crewai`
makes that Python. An argument says how many milliseconds a method takes: 20 if nothing is said, where a
method of an agent's flow takes seconds; 0 shows the worst case, in which crewAI itself is all there is.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

from masterflow import flush
from masterflow.bridges.crewai import capture, install, uninstall
from masterflow.domain.tenant import flow_context

_ROUNDS: Final = 9
_METHODS: Final = 80


def _flow_class(method_s: float) -> Any:
    """Return a flow of 80 methods, one after the other, each of which takes so long."""
    flow = import_module("crewai.flow.flow")

    class Loop(flow.Flow):  # type: ignore[name-defined,misc]
        """Begins, and goes round 40 times."""

        @flow.start()  # type: ignore[untyped-decorator]
        def begin(self) -> None:
            """Begin to count."""
            self.state["turn"] = 0
            time.sleep(method_s)

        @flow.router(flow.or_(begin, "again"))  # type: ignore[untyped-decorator]
        def step(self) -> str:
            """Go on, or end."""
            self.state["turn"] += 1
            time.sleep(method_s)
            return "go" if self.state["turn"] < _METHODS // 2 else "end"

        @flow.router("go")  # type: ignore[untyped-decorator]
        def work(self) -> str:
            """Work."""
            time.sleep(method_s)
            return "again"

    return Loop


def _timed(flow_class: Any) -> float:
    with redirect_stdout(StringIO()):
        flow = flow_class()
        begun = time.perf_counter()
        flow.kickoff()
        return time.perf_counter() - begun


def _watched(costs_us: list[float], call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*arguments: Any) -> Any:
        begun = time.perf_counter_ns()
        try:
            return call(*arguments)
        finally:
            costs_us.append((time.perf_counter_ns() - begun) / 1_000)

    return watched


def main(method_ms: float) -> None:
    """Print the flow's time without and with the bridge, and what a handler and a hook cost."""
    flow_class, context = _flow_class(method_ms / 1_000), flow_context(uuid4(), uuid4(), "bench")
    costs_us: dict[str, list[float]] = {name: [] for name in ("handle", "_before_step", "_after_step")}
    _timed(flow_class)
    pairs = []
    for _ in range(_ROUNDS):
        without_s = _timed(flow_class)
        install(context)
        pairs.append((without_s, _timed(flow_class)))
        flush(5)
        uninstall()
    for name, costs in costs_us.items():
        setattr(capture.Capture, name, _watched_method(costs, getattr(capture.Capture, name)))
    install(context)
    _timed(flow_class)
    uninstall()
    without, with_bridge = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for other, one in pairs)
    print(f"{_METHODS} methods of {method_ms:g} ms, {_ROUNDS} times each, in turns")
    print(f"  without the bridge  {without * 1_000:8.1f} ms")
    print(
        f"  with it             {with_bridge * 1_000:8.1f} ms, {100 * (ratio - 1):+.1f} % (median of pairs)"
    )
    for name, what in (
        ("handle", "an event"),
        ("_before_step", "before a step"),
        ("_after_step", "after one"),
    ):
        print(f"  {what:20}{statistics.median(costs_us[name]):6.1f} us on the flow's thread (median)")


def _watched_method(costs_us: list[float], method: Callable[..., Any]) -> Callable[..., Any]:
    watched = _watched(costs_us, method)

    def call(self: Any, *arguments: Any) -> Any:
        return watched(self, *arguments)

    return call


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        for setting in ("CREWAI_DISABLE_TELEMETRY", "CREWAI_DISABLE_VERSION_CHECK"):
            os.environ[setting] = "true"
        os.environ |= {"CREWAI_TRACING_ENABLED": "false", "HOME": folder}
        os.environ |= {"ENRICHMENT_SPOOL_DIR": f"{folder}/spool", "REDIS_URL": "redis://127.0.0.1:1/0"}
        os.environ["ENRICHMENT_EXIT_TIMEOUT_S"] = "0"
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 20)
