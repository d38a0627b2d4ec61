"""What happened: the progress tracker, the phase hooks, and the outbox that never loses their reports."""

from typing import Any

from masterflow.tracker.attempts import Attempt
from masterflow.tracker.control.requests import FlowStopped, StopRequest
from masterflow.tracker.execution import FlowRunner, FlowThreadPool, run_initialization
from masterflow.tracker.hooks import phase
from masterflow.tracker.log_records import FlowLogFilter
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.report import Reported, repeated_ends, report
from masterflow.tracker.tracker import FlowProgressTracker, create_progress_tracker, current_flow
from masterflow.tracker.waits.question import Question

adopt = process_delivery.adopt
flush = process_delivery.flush
shutdown = process_delivery.shutdown


def outbox_status() -> dict[str, Any]:
    """Return what waits and what was lost in this process, and how many attempts were ended again."""
    return process_delivery.status() | {"repeated_ends": repeated_ends()}


__all__ = [
    "Attempt",
    "FlowLogFilter",
    "FlowProgressTracker",
    "FlowRunner",
    "FlowStopped",
    "FlowThreadPool",
    "Question",
    "Reported",
    "StopRequest",
    "adopt",
    "create_progress_tracker",
    "current_flow",
    "flush",
    "outbox_status",
    "phase",
    "report",
    "run_initialization",
    "shutdown",
]
