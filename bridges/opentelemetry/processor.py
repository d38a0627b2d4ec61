"""A span processor: of each span only ids, attributes and the error's text are looked at."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from masterflow.bridges.opentelemetry.conventions import flow_id_in, phase_in
from masterflow.bridges.opentelemetry.spans import FromSpan, Spans
from masterflow.domain import FlowContext, InputInvalid
from masterflow.tracker.report import refuse
from masterflow.tracker.tenants import TenantIds, tenant_of


def flow_processor(
    context: TenantIds,
    *,
    flow_id_from: FromSpan = flow_id_in,
    phase_from: FromSpan = phase_in,
    create_rows: bool = True,
    flow_type: str = "discovery",
) -> Any:
    """Return the span processor that lets spans fill the rows of this tenant's flows.

    Both functions are given the attributes that a span starts with. By default a flow is a conversation or
    session (`gen_ai.conversation.id`, `session.id`), which the spans inside inherit, and a phase a node or an
    agent. Calls of models are reported with their tokens, a span that ends by an error fails its phase.
    Without OpenTelemetry's SDK it fails with ImportError.

    Raises:
        InputInvalid: the context names no tenant.
    """
    tenant = tenant_of(context)
    if not isinstance(tenant, FlowContext):
        raise InputInvalid("The context names no tenant; pass a FlowContext.")
    return _processor_class()(Spans(tenant, flow_id_from, phase_from, flow_type, create_rows))


class _Processing:
    """The processor's methods, without the class that OpenTelemetry wants."""

    def __init__(self, spans: Spans) -> None:
        super().__init__()
        self._spans = spans

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002  as the SDK calls it
        """A span starts."""
        parent_id = span.parent.span_id if span.parent is not None else None
        ids = span.context.span_id, parent_id
        trace_id = f"{span.context.trace_id:032x}"
        _safely(lambda: self._spans.begin(*ids, span.attributes or {}, trace_id=trace_id))

    def on_end(self, span: Any) -> None:
        """A span has ended."""
        _safely(lambda: self._spans.end(span.context.span_id, span.attributes or {}, _error(span)))

    def shutdown(self) -> None:
        """Do nothing: what was reported is delivered by the outbox."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  as the SDK calls it
        """Return True: nothing is held back here."""
        return True


def _safely(take: Callable[[], None]) -> None:
    """Let a span fail no program."""
    try:
        take()
    except Exception as problem:  # noqa: BLE001  the program must not fail because of its report
        refuse(problem, may_raise=False)


def _error(span: Any) -> str | None:
    """Return the text of the error that a span ended by."""
    if span.status.status_code.name != "ERROR":
        return None
    for event in reversed(span.events):
        said: Mapping[str, Any] = event.attributes or {}
        if event.name == "exception" and said.get("exception.message"):
            return f"{said.get('exception.type')}: {said['exception.message']}"
    return str(span.status.description or "The span ended by an error.")


@cache
def _processor_class() -> Any:
    base: Any = import_module("opentelemetry.sdk.trace").SpanProcessor
    return type("FlowSpanProcessor", (_Processing, base), {})
