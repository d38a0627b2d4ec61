"""Spans as reports: what a trace says of a flow's phases, errors and usage.

A span knows neither that a flow is done nor that it waits; its code tells that by a tracker of the same id.
While a span of a flow is open, this process holds the flow: it is lost if the process dies inside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from masterflow.bridges.opentelemetry.conventions import agent_in, is_call, usage_in
from masterflow.domain import FlowContext
from masterflow.tracker.attempts import Attempt
from masterflow.tracker.tracker import FlowProgressTracker, create_progress_tracker

FromSpan = Callable[[Mapping[str, Any]], str | None]

#: Spans that are open at once; of more, the oldest are given up.
_MOST_OPEN: Final = 10_000


@dataclass(slots=True)
class _Open:
    tracker: FlowProgressTracker
    flow_id: str
    attempt: Attempt | None
    #: The agent or the phase around it, for calls that name none.
    who: str

    def let_go(self) -> None:
        """Hold the flow no more because of this span."""
        self.tracker.record.hold.leave(self.tracker.record.status)


@dataclass(slots=True)
class Spans:
    """The open spans of flows in this process, by their ids."""

    context: FlowContext
    flow_id_from: FromSpan
    phase_from: FromSpan
    flow_type: str
    create_rows: bool
    _open: dict[int, _Open] = field(default_factory=dict)

    def begin(
        self, span_id: int, parent_id: int | None, attributes: Mapping[str, Any], *, trace_id: str
    ) -> None:
        """Take the start of a span; one without a flow, and without a parent that has one, is left alone."""
        around = self._open.get(parent_id) if parent_id is not None else None
        flow_id = self.flow_id_from(attributes) or (around.flow_id if around else None)
        if flow_id is None:
            return
        if around is not None and around.flow_id == flow_id:
            tracker = around.tracker
        else:
            tracker = create_progress_tracker(
                flow_id, self.context, flow_type=self.flow_type, create=self.create_rows
            )
        phase = self.phase_from(attributes)
        attempt = tracker.begin(phase) if phase else None
        if attempt is not None:
            attempt.note(trace_id=trace_id)
        who = agent_in(attributes) or phase or (around.who if around else "")
        if len(self._open) >= _MOST_OPEN and (oldest := self._open.pop(next(iter(self._open)), None)):
            oldest.let_go()
        tracker.record.hold.enter(tracker.record.status)
        self._open[span_id] = _Open(tracker, flow_id, attempt, who)

    def end(self, span_id: int, attributes: Mapping[str, Any], error: str | None) -> None:
        """Take the end of a span, with the text of its error if it has one."""
        span = self._open.pop(span_id, None)
        if span is None:
            return
        try:
            if is_call(attributes):
                span.tracker.report_usage(agent=agent_in(attributes) or span.who, **usage_in(attributes))
            if span.attempt is not None:
                span.attempt.end(error=error)
        finally:
            span.let_go()
