"""What happened: the progress tracker, the phase hooks, and the outbox that never loses their reports."""

from tracker.execution import FlowRunner, run_initialization
from tracker.hooks import phase
from tracker.process import process_delivery
from tracker.progress import FlowProgressTracker, create_progress_tracker, current_flow
from tracker.report import report

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
