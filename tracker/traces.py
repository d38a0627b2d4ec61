"""The trace that is current when a report is made, if the program traces at all."""

import sys
from typing import Any


def trace_here() -> dict[str, str]:
    """Return `{"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}`, or nothing outside of any trace.

    It imports nothing: who has not loaded OpenTelemetry has no trace.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    try:
        found = trace.get_current_span().get_span_context()
        trace_id = found.trace_id if found.is_valid else 0
    except Exception:  # noqa: BLE001  somebody else's tracing may be half loaded, and no report fails by it
        return {}
    return {"trace_id": f"{trace_id:032x}"} if trace_id else {}
