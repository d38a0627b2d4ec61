"""What leaves the process of a payload, by every hook that can carry it, and what of its secrets is in it."""

import json
import traceback
from functools import partial

from masterflow import tracker
from masterflow.domain.events import AgentCollaborated, ErrorOccurred, MetadataUpdated, PhaseTransitioned
from masterflow.tracker.testing import flow_reports
from tests.support.events.reported import CONTEXT, FLOW_ID

# So many characters of a secret in a row are a leak.
_LEAST_CHARS = 5


def leaked(payload, secrets):
    """Return which secrets, also in parts, leave the process by which hook, as `{"error": ["hunter2"]}`."""
    found = {}
    for hook, text in sent_by_hooks(payload).items():
        plain = text + text.replace("\\\\", "\\").replace('\\"', '"').replace("\\n", "\n")
        parts = [secret for secret in secrets if _is_in_part(secret, plain)]
        if parts:
            found[hook] = parts
    return found


def left_as_it_is(payload):
    """Tell whether a payload leaves as a value, and its text in an error, as they are."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    error = f"ValueError: {text} (x)"
    with flow_reports() as told:
        tracker.report(MetadataUpdated, CONTEXT, FLOW_ID, updates={"a": payload})
        tracker.report(ErrorOccurred, CONTEXT, FLOW_ID, phase="p", error=error)
        values, errors = told.of(MetadataUpdated), told.of(ErrorOccurred)
    return values[0].updates == {"a": payload} and errors[0].error == error


def sent_by_hooks(payload):
    """Return what leaves the process, by the hook that was given the payload."""
    hooks = {"value": partial(_report_value, payload)}
    texts = [payload] if isinstance(payload, str) else [repr(payload), json.dumps(payload, default=str)]
    for text in texts:
        hooks[f"error {text:.20}"] = partial(_report_error, text)
        hooks[f"flow {text:.20}"] = partial(_run_flow, text)
    if isinstance(payload, str):
        hooks["key"] = partial(tracker.report, MetadataUpdated, CONTEXT, FLOW_ID, updates={"z": {payload: 2}})
    return {name: _sent(hook) for name, hook in hooks.items()}


def _report_value(payload):
    tracker.report(MetadataUpdated, CONTEXT, FLOW_ID, updates={"a": payload, "b": [{"c": payload}]})
    tracker.report(
        PhaseTransitioned, CONTEXT, FLOW_ID, phase="p", status="processing", metadata={"a": payload}
    )
    tracker.report(AgentCollaborated, CONTEXT, FLOW_ID, entry={"agent": "x", "out": payload})


def _report_error(text):
    trace = _trace_of(text)
    tracker.report(ErrorOccurred, CONTEXT, FLOW_ID, phase="p", error=text, details={"t": text})
    tracker.report(ErrorOccurred, CONTEXT, FLOW_ID, phase="p", error=trace, details={"t": trace})


def _run_flow(text):
    """Ask, pause, cancel, fail and count with a text."""
    flow = tracker.create_progress_tracker(FLOW_ID, CONTEXT)
    try:
        with tracker.phase("p", flow=flow):
            _fail(text)
    except ValueError:
        pass
    flow.ask(text, options=["a", "b"])
    flow.pause_for_user_input(text)
    if len(text) <= 80:
        # Of a longer name only the beginning is looked at, and kept.
        flow.report_usage(agent=text, model="m", input_tokens=1, cost_usd=0)
        flow.report_usage(agent="a", model=text, input_tokens=1, cost_usd=0)
    flow.cancel_flow(text)


def _sent(hook):
    with flow_reports() as told:
        hook()
        own = {"event_id", "flow_id", "client_account_id", "engagement_id", "occurred_at"}
        return "\n".join(event.model_dump_json(exclude=own) for event in told)


def _trace_of(text):
    try:
        _fail(text)
    except ValueError as error:
        return "".join(traceback.format_exception(error))


def _fail(text):
    raise ValueError(text)


def _is_in_part(secret, text):
    length = min(len(secret), _LEAST_CHARS)
    return any(secret[start : start + length] in text for start in range(len(secret) - length + 1))
