"""The fold: takes records as they come, and gives the reports that the flow's row is made of."""

from collections.abc import Callable
from typing import Any, Final

from masterflow.bridges.crewai.fold import details
from masterflow.bridges.crewai.fold.ordering import Ordering
from masterflow.bridges.crewai.fold.recent import Recent
from masterflow.bridges.crewai.fold.reports import Told
from masterflow.bridges.crewai.fold.rules import Rules, distinct
from masterflow.bridges.crewai.fold.runs import FlowHistory, Run, new_history
from masterflow.bridges.crewai.fold.scopes import Scope
from masterflow.bridges.crewai.records import Record
from masterflow.domain import FlowContext

_MOST_SCOPES: Final = 20_000
_MOST_FLOWS: Final = 5_000

_WAITS: Final = {"human_feedback_requested": True, "flow_input_requested": False}
_ANSWERS: Final = ("human_feedback_received", "flow_input_received")


class Fold:
    """Reads records of any number of flows; it belongs to one thread."""

    def __init__(self, rules: Rules, *, source: str) -> None:
        self._rules = rules
        self._source = source
        self._ordering = Ordering()
        self._scopes: Recent[str, Scope] = Recent(_MOST_SCOPES)
        self._histories: Recent[str, FlowHistory] = Recent(_MOST_FLOWS)
        self._touched: dict[Run, None] = {}
        #: Kickoffs that nobody's tenant is known of.
        self.ignored_flows = 0

    def take(self, record: Record, now_s: float) -> None:
        """Take a record, captured or kept; the order does not matter."""
        self._ordering.take(record, now_s)

    def reports(self, now_s: float, *, is_final: bool = False) -> list[tuple[FlowContext, Told]]:
        """Return what follows from the records so far; `is_final` waits for no other.

        Behind the reports of each kickoff comes how it stands with it.
        """
        while (record := self._ordering.next(now_s, is_final=is_final)) is not None:
            self._handle(record)
        runs, self._touched = self._touched, {}
        told: list[tuple[FlowContext, Told]] = []
        for run in runs:
            told += run.take()
            if run.context is not None:
                told.append((run.context, run.standing()))
            elif not run.is_over and not run.is_ignored:
                self._touched[run] = None
        return told

    @property
    def waits(self) -> bool:
        """Return whether a record waits for another one."""
        return self._ordering.waits

    def _handle(self, record: Record) -> None:
        scope = self._scopes.get(record.started_id or record.parent_id)
        if record.kind.endswith("_started"):
            self._start(record, scope)
        elif scope is not None and record.started_id:
            self._end(scope, record)
        elif scope is not None:
            self._happen(scope, record)

    def _start(self, record: Record, parent: Scope | None) -> None:
        scope = Scope(record, parent, parent.run if parent else None)
        self._scopes.put(scope.id, scope)
        is_flow = record.kind == "flow_started" and not scope.is_internal
        if is_flow and scope.run is None:
            scope.run = Run(scope, self._history(str(record.facts.get("flow_id", ""))), self._rules)
            scope.run.start()
        run: Run | None = scope.run
        if run is None:
            return
        self._touched[run] = None
        self._know_tenant(run, record)
        if record.kind == "method_execution_started" and not scope.is_internal:
            self._name_phase(scope)
            run.begin(scope)
        elif scope.level == "agent":
            details.agent_started(run, scope)
        elif scope.level == "guardrail":
            details.guardrail_started(run, scope)

    def _name_phase(self, scope: Scope) -> None:
        """Name a phase after its method; that of a flow in a flow after both: `outer/inner`."""
        method = str(scope.record.facts.get("method", ""))
        outer = scope.parent.phase_scope if scope.parent else None
        name = self._rules.phase_of(method)
        scope.phase = distinct(f"{outer.phase}/{name}") if outer else name
        flow = scope.parent.record.facts if scope.parent else {}
        scope.is_resumed = flow.get("resumes") == method and outer is None

    def _end(self, scope: Scope, record: Record) -> None:
        run: Run | None = scope.run
        if run is None:
            return
        self._touched[run] = None
        self._know_tenant(run, record)
        details.tools_given_up(run, scope)
        is_failure = _is_failure(record)
        if is_failure and record.facts.get("is_stopped"):
            run.causes.stop(scope, str(record.facts.get("error", "")))
        elif is_failure and not scope.is_internal:
            run.causes.fail(scope, record)
        elif not is_failure and not record.kind.endswith("_paused"):
            for cause in run.causes.succeed(scope):
                run.note(cause, "recovered")
        if scope.is_internal:
            return
        ending: Callable[[Run, Scope, Record], None] = _ENDINGS.get(scope.level, _end_nothing)
        ending(run, scope, record)

    def _happen(self, scope: Scope, record: Record) -> None:
        run: Run | None = scope.run
        if run is None:
            return
        self._touched[run] = None
        self._know_tenant(run, record)
        kind, phase = record.kind, scope.phase_scope
        if kind == "step_began":
            scope.began_ns, scope.began_at = record.facts["ns"], record.at
        elif kind == "step_ended":
            scope.ended_ns = record.facts["ns"]
        elif kind in _WAITS and phase is not None:
            run.wait(phase, record, is_approval=_WAITS[kind])
            details.human_acted(run, scope, record, "asked")
        elif kind in _ANSWERS and phase is not None:
            details.human_acted(run, scope, record, "answered")
            run.go_on(phase, record)

    def _know_tenant(self, run: Run, record: Record) -> None:
        if "context" not in record.facts or run.context is not None or run.is_ignored:
            return
        run.context = record.context
        if run.context is None:
            self.ignored_flows += 1
            run.ignore()

    def _history(self, flow_id: str) -> FlowHistory:
        found = self._histories.get(flow_id)
        if found is None:
            found = new_history(self._source, flow_id)
            self._histories.put(flow_id, found)
        return found


def _is_failure(record: Record) -> bool:
    return record.kind.endswith(("_failed", "_error"))


def _end_flow(run: Run, scope: Scope, record: Record) -> None:
    if scope is not run.root:
        return
    if record.facts.get("is_stopped"):
        run.finish("cancelled", record)
    elif record.kind == "flow_paused":
        run.finish("waiting_for_approval", record)
    else:
        run.finish("failed" if _is_failure(record) else "completed", record)


def _end_method(run: Run, scope: Scope, record: Record) -> None:
    facts: dict[str, Any] = {}
    if record.kind.endswith("_paused"):
        status, facts = "paused", {"message": record.facts.get("message", ""), "awaiting_approval": True}
    elif record.facts.get("is_stopped"):
        status = "cancelled"
    elif _is_failure(record):
        status, facts = "failed", {"error_type": record.facts.get("error_type", "")}
    else:
        status = "completed"
    run.end(scope, status, record, facts)
    # Before 1.15.9 a flow that fails says nothing itself: its method's failure is its own.
    flow = scope.parent
    if _is_failure(record) and flow is not None and not flow.record.facts.get("tells_failure", True):
        run.causes.fail(flow, record)
        _end_flow(run, flow, record)


def _end_agent(run: Run, scope: Scope, record: Record) -> None:
    if _is_failure(record):
        details.agent_failed(scope)
    details.agent_ended(run, scope, record, "failed" if _is_failure(record) else "completed")


def _end_task(run: Run, scope: Scope, record: Record) -> None:
    details.task_ended(run, scope, record, "failed" if _is_failure(record) else "completed")


def _end_call(run: Run, scope: Scope, record: Record) -> None:
    if _is_failure(record):
        details.agent_failed(scope)
    else:
        details.model_called(run, scope, record)


def _end_tool(run: Run, scope: Scope, record: Record) -> None:
    if _is_failure(record):
        details.tool_failed(scope, record)
    else:
        details.tool_finished(run, scope, record)


def _end_memory(run: Run, _scope: Scope, record: Record) -> None:
    details.memory_used(run, record)


def _end_nothing(_run: Run, _scope: Scope, _record: Record) -> None:
    return


_ENDINGS: Final = {
    "flow": _end_flow,
    "method": _end_method,
    "agent": _end_agent,
    "task": _end_task,
    "llm": _end_call,
    "tool": _end_tool,
    "memory": _end_memory,
}
