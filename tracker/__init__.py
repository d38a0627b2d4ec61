"""What happened: the progress tracker, the phase hooks, and the outbox that never loses their reports."""

from masterflow.tracker.execution import FlowRunner, run_initialization
from masterflow.tracker.hooks import phase
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.progress import FlowProgressTracker, create_progress_tracker, current_flow
from masterflow.tracker.report import report

adopt = process_delivery.adopt
flush = process_delivery.flush
outbox_status = process_delivery.status
shutdown = process_delivery.shutdown

__all__ = [
    "FlowProgressTracker",
    "FlowRunner",
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
