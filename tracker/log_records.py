"""Whose flow a log record is about."""

import logging

from masterflow.tracker.tracker import current_flow


class FlowLogFilter(logging.Filter):
    """Gives records the flow, phase and tenant of the `with tracker:` block around them; drops none.

    Add it to a handler, whose format may then say `%(flow_id)s %(phase)s %(client_account_id)s
    %(engagement_id)s`; outside of any flow each is `-`. What a record brings of its own stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, with the attributes set."""
        for name, value in _facts().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def _facts() -> dict[str, str]:
    flow = current_flow()
    context = flow.record.context if flow else None
    return {
        "flow_id": str(flow.flow_id) if flow else "-",
        "phase": (flow.record.phase_here if flow else None) or "-",
        "client_account_id": str(getattr(context, "client_account_id", "-")),
        "engagement_id": str(getattr(context, "engagement_id", "-")),
    }
