"""What a flow's code asks about what people want of it."""

from masterflow.tracker.control.requests import StopRequest
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.waits.boundaries import ObedientFlow


class ControlledFlow:
    """The part of a tracker that people reach."""

    record: ObedientFlow

    @property
    def stop_requested(self) -> StopRequest | None:
        """Return who asked the flow to stop; None while nobody has, or once it has ended.

        Nothing stops a flow but its own code: ask here, call `raise_if_stopped()`, or make its phases
        `stoppable`.
        """
        process_delivery.attend()
        return self.record.control.stop

    def raise_if_stopped(self) -> None:
        """Raise FlowStopped if somebody asked the flow to stop; it cancels a flow whose block it leaves."""
        process_delivery.attend()
        self.record.control.raise_if_stopped()
