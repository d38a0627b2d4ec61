"""What callbacks of graphs say, as reports: a run is a flow, a node a phase, an interrupt a wait.

Nothing here imports LangGraph: names, ids and errors come as they are. Callbacks come in the order in which
a graph runs, so there is no queue as in other bridges, and the tracker is the fold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from masterflow.domain import FlowContext
from masterflow.tracker.attempts import Attempt
from masterflow.tracker.report import refuse
from masterflow.tracker.tracker import FlowProgressTracker, create_progress_tracker

FlowIdFrom = Callable[[Mapping[str, Any]], str | None]

_STEP_TAG: Final = "graph:step:"
_MOST_MESSAGE_CHARS: Final = 300
#: Runs whose end never came, such as of generators that nobody went on with.
_MOST_RUNS: Final = 10_000


def thread_id_in(metadata: Mapping[str, Any]) -> str | None:
    """Return the thread's id, if the run has one."""
    found = metadata.get("thread_id")
    return None if found is None else str(found)


@dataclass
class _Graph:
    tracker: FlowProgressTracker
    is_waiting: bool = False


@dataclass
class _Run:
    graph: _Graph
    #: The path of its node, outermost first.
    path: tuple[str, ...] = ()
    attempt: Attempt | None = None
    is_root: bool = False
    model: str = ""


@dataclass
class Runs:
    """The runs of graphs in this process, by their ids."""

    context: FlowContext
    flow_type: str
    create_rows: bool
    phases: Sequence[str]
    flow_id_from: FlowIdFrom
    _runs: dict[UUID, _Run] = field(default_factory=dict)

    def begin(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        name: str,
        tags: Sequence[str],
        metadata: Mapping[str, Any],
    ) -> None:
        """Take the start of a chain: of a graph, of a node, or of what runs inside one."""
        parent = self._runs.get(parent_id) if parent_id else None
        if parent is None:
            self._begin_graph(run_id, metadata)
            return
        run = _Run(parent.graph, parent.path)
        if name == metadata.get("langgraph_node") and any(tag.startswith(_STEP_TAG) for tag in tags):
            run.path = (*parent.path, name)
            run.attempt = parent.graph.tracker.begin("/".join(run.path))
        self._keep(run_id, run)

    def begin_model(self, run_id: UUID, parent_id: UUID | None, metadata: Mapping[str, Any]) -> None:
        """Take the start of a call of a model."""
        if parent := self._runs.get(parent_id) if parent_id else None:
            model = str(metadata.get("ls_model_name") or "")
            self._keep(run_id, _Run(parent.graph, parent.path, model=model))

    def end(self, run_id: UUID) -> None:
        """Take the end of a chain."""
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        if run.attempt is not None:
            run.attempt.end()
        elif run.is_root and not run.graph.is_waiting:
            run.graph.tracker.complete_flow()

    def end_model(self, run_id: UUID, tokens: Mapping[str, Any], model: str) -> None:
        """Take the end of a model's call, with its `input_tokens` and `output_tokens` if it counts them."""
        if run := self._runs.pop(run_id, None):
            run.graph.tracker.report_usage(
                agent=run.path[-1] if run.path else "",
                model=model or run.model,
                input_tokens=int(tokens.get("input_tokens") or 0),
                output_tokens=int(tokens.get("output_tokens") or 0),
            )

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """Take the error that a chain ended by."""
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        if any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__):
            self._wait(run, error)
        elif run.attempt is not None:
            run.attempt.end(error=error)
        elif run.is_root:
            run.graph.tracker.record.leave(error)

    def drop(self, run_id: UUID) -> None:
        """Take the failed call of a model, whose node tells the error."""
        self._runs.pop(run_id, None)

    def _begin_graph(self, run_id: UUID, metadata: Mapping[str, Any]) -> None:
        flow_id = self.flow_id_from(metadata)
        if flow_id is None:
            return
        tracker = create_progress_tracker(
            flow_id, self.context, phases=self.phases, flow_type=self.flow_type, create=self.create_rows
        )
        self._keep(run_id, _Run(_Graph(tracker), is_root=True))

    def _wait(self, run: _Run, interrupt: BaseException) -> None:
        """Let the flow wait for the answer; the node begins anew with it, maybe in another process."""
        if run.attempt is None or type(interrupt).__name__ != "GraphInterrupt":
            return
        run.graph.is_waiting = True
        tracker = run.graph.tracker
        tracker.record.phase = run.attempt.phase
        tracker.pause_for_user_input(_question(interrupt))

    def _keep(self, run_id: UUID, run: _Run) -> None:
        if len(self._runs) >= _MOST_RUNS:
            self._runs.pop(next(iter(self._runs)), None)
        self._runs[run_id] = run


def _question(interrupt: BaseException) -> str:
    """Return what a graph asks: the text of its first interrupt."""
    try:
        [first, *_] = interrupt.args[0]
        return str(first.value)[:_MOST_MESSAGE_CHARS]
    except (IndexError, TypeError, ValueError, AttributeError) as problem:
        refuse(problem, may_raise=False)
        return ""
