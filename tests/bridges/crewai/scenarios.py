"""Runs scenarios of `flows.py` in this process, and writes a line of JSON for each: what the user saw."""

import gc
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.flow_events import FlowStartedEvent, MethodExecutionStartedEvent

import masterflow
from masterflow.bridges import crewai as bridge
from masterflow.bridges.crewai import capture
from masterflow.bridges.crewai.records import Record, to_line
from masterflow.domain import FlowContext
from masterflow.tracker.control.registry import control_registry
from masterflow.tracker.control.requests import Message
from masterflow.tracker.life.holdings import process_holdings
from tests.bridges.crewai import flows

TENANTS = [
    FlowContext(client_account_id=uuid.UUID(int=7), engagement_id=uuid.UUID(int=number), user_id="ann")
    for number in (8, 9)
]

Seen = dict[str, Any]


def kick_off(flow: Any, flow_id: str | None = None) -> Seen:
    """Run a flow as its user would, and return what the user got."""
    begun, error, result = time.perf_counter(), None, None
    try:
        result = flow.kickoff(inputs={"id": flow_id}) if flow_id else flow.kickoff()
    except Exception as raised:  # noqa: BLE001
        error = raised
    return {
        "flow_id": flow.state["id"],
        "result": str(result),
        "error": type(error).__name__ if error else None,
        "is_same_error": error is not None and error is getattr(type(flow), "error", None),
        "took_s": time.perf_counter() - begun,
    }


def failing() -> Seen:
    flows.Failing.error = ValueError(f"it broke, {flows.SECRET}")
    return kick_off(flows.Failing())


def failing_twice() -> Seen:
    flow_id = failing()["flow_id"]
    return kick_off(flows.Failing(), flow_id)


def crewed() -> Seen:
    flows.Crewed.answers = [flows.USE_TOOL, "bad", flows.FINAL.format("ok")]
    flows.Crewed.guardrail = staticmethod(says_ok)
    return kick_off(flows.Crewed())


def asked() -> Seen:
    def answer(_prompt: str = "") -> str:
        time.sleep(0.3)
        return "fine"

    with mock.patch("builtins.input", answer):
        return kick_off(flows.Asked())


def says_ok(output: Any) -> tuple[bool, str]:
    return ("ok" in output.raw, output.raw if "ok" in output.raw else "It must say ok.")


def model_down() -> Seen:
    flows.Crewed.answers = [ConnectionError("the model is down")] * 9
    flows.Crewed.guardrail = None
    return kick_off(flows.Crewed())


def stopped() -> Seen:
    flow_id = str(uuid.uuid4())

    flows.Sequence.before_b = lambda: bridge.request_stop(flow_id, "cancelled by ann")
    try:
        return kick_off(flows.Sequence(), flow_id)
    finally:
        flows.Sequence.before_b = None


def told_to_stop() -> Seen:
    """Run a flow that somebody asks to stop during its second method, as a worker would tell it."""

    def tell() -> None:
        tracker = masterflow.current_flow()
        assert tracker is not None
        now = datetime.now(UTC)
        tracker.record.control.take(Message(uuid.uuid4(), "cancel", "ann", now, "Too slow."))

    flows.Sequence.before_b = tell
    try:
        return kick_off(flows.Sequence())
    finally:
        flows.Sequence.before_b = None


def threads() -> Seen:
    found: list[Seen] = []
    running = [threading.Thread(target=lambda: found.append(kick_off(flows.Loop()))) for _ in range(6)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return {"flow_ids": [seen["flow_id"] for seen in found], "errors": [seen["error"] for seen in found]}


def beside_a_slow_listener() -> Seen:
    """Run beside somebody's listener that takes 50 ms for each start, with the bridge and without."""

    def slow(_source: Any, _event: Any) -> None:
        time.sleep(0.05)

    kinds = (FlowStartedEvent, MethodExecutionStartedEvent)
    for kind in kinds:
        crewai_event_bus.register_handler(kind, slow)
    seen = kick_off(flows.Cycle())
    for kind in kinds:
        crewai_event_bus.off(kind, slow)
    return seen


def broken_bridge() -> Seen:
    """Run with a bridge whose handlers raise what would end the process."""

    def fail(*_: Any) -> Any:
        raise SystemExit("the bridge is broken")

    with mock.patch.object(capture, "extract", fail):
        return kick_off(flows.Sequence())


def in_removed_handlers() -> Seen:
    """Run where crewAI has removed all handlers of the process."""
    with crewai_event_bus.scoped_handlers():
        return kick_off(flows.Sequence())


def two_tenants() -> Seen:
    with bridge.flow(TENANTS[1]):
        other = kick_off(flows.Sequence())
    own = kick_off(flows.Sequence())
    nobodys = kick_off(flows.Nobodys())
    return {"own": own["flow_id"], "other": other["flow_id"], "nobodys": nobodys["flow_id"]}


def resumed() -> Seen:
    flow = flows.Approved.from_pending(os.environ["PAUSED_FLOW"])
    return {"flow_id": flow.state["id"], "result": str(flow.resume("yes"))}


def forked() -> Seen:
    """Fork after a flow; the child only listens to what it is told."""
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        from masterflow.bridges.crewai.bridge import FORKED, has_forked_late

        os.write(told, (FORKED if has_forked_late() else "nothing").encode())
        os._exit(0)
    os.waitpid(child, 0)
    return {"told": os.read(heard, 2_000).decode()}


SCENARIOS: dict[str, Callable[[], Seen]] = {
    "sequence": lambda: kick_off(flows.Sequence()),
    "parallel": lambda: kick_off(flows.Parallel()),
    "cycle": lambda: kick_off(flows.Cycle()),
    "failing": failing,
    "failing twice": failing_twice,
    "parallel failing": lambda: kick_off(flows.ParallelFailing()),
    "paused": lambda: kick_off(flows.Approved()),
    "resumed": resumed,
    "asked": asked,
    "crewed": crewed,
    "model down": model_down,
    "stopped": stopped,
    "told to stop": told_to_stop,
    "text id": lambda: kick_off(flows.Sequence(), "ext-42"),
    "threads": threads,
    "slow listener": beside_a_slow_listener,
    "broken bridge": broken_bridge,
    "removed handlers": in_removed_handlers,
    "two tenants": two_tenants,
    "nested": lambda: kick_off(flows.Outer()),
    "hand-wired": lambda: kick_off(flows.HandWired()),
    "forked": forked,
    "hanging": lambda: kick_off(flows.Hanging(), os.environ["HANGING_FLOW"]),
}


def whose(flow: Any) -> FlowContext | None:
    return None if isinstance(flow, flows.Nobodys) else TENANTS[0]


def main(names: list[str]) -> None:
    """Run these scenarios, or all, and report everything before the end."""
    if folder := os.environ.get("RECORD_INTO"):
        recorded: list[Record] = []
        bridge.install(whose, listen=recorded.append)
    else:
        bridge.install(whose, stoppable=True)
    for name in names or SCENARIOS:
        with redirect_stdout(sys.stderr):
            seen = SCENARIOS[name]()
            is_flushed = masterflow.flush(float(os.environ.get("FLUSH_S", "30")))
        gc.collect()
        outbox = masterflow.outbox_status()
        said = {
            "scenario": name,
            "is_flushed": is_flushed,
            "lost": outbox["lost"],
            "pending": outbox["pending_records"],
            "held_flows": [str(flow_id) for flow_id in process_holdings.now.flows()],
            "asked_for_tenants": len(control_registry.tenants()),
            **bridge.status(),
            **seen,
        }
        sys.stdout.write(json.dumps(said) + "\n")
        if folder:
            lines = [to_line(record) + "\n" for record in recorded]
            (Path(folder) / f"{name.replace(' ', '-')}.jsonl").write_text("".join(lines))
            recorded.clear()
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
