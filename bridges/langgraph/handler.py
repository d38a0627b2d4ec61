"""LangChain's callbacks, as a graph gives them: only names, ids, counts and errors are taken."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from importlib import import_module
from typing import Any, ParamSpec
from uuid import UUID

from masterflow.bridges.langgraph.runs import FlowIdFrom, Runs, thread_id_in
from masterflow.domain import FlowContext, InputInvalid
from masterflow.tracker.report import refuse
from masterflow.tracker.tenants import TenantIds, tenant_of

P = ParamSpec("P")


def flow_callback(
    context: TenantIds,
    *,
    flow_id_from: FlowIdFrom = thread_id_in,
    phases: Sequence[str] = (),
    create_rows: bool = True,
    flow_type: str = "discovery",
) -> Any:
    """Return the callback that lets graphs fill the rows of this tenant's flows; one may serve many runs.

    The flow's id is the `thread_id` of the run's config, unless `flow_id_from` finds another in the run's
    metadata; a run without one is left alone. Each node is a phase (`outer/inner` in a subgraph), an
    interrupt waits for approval until the thread runs again, and what models use is reported by node.
    Without langchain-core it fails with ImportError.

    Raises:
        InputInvalid: the context names no tenant.
    """
    tenant = tenant_of(context)
    if not isinstance(tenant, FlowContext):
        raise InputInvalid("The context names no tenant; pass a FlowContext.")
    return _handler_class()(Runs(tenant, flow_type, create_rows, tuple(phases), flow_id_from))


def _safely(take: Callable[P, None]) -> Callable[P, None]:
    """Let a callback fail no graph."""

    @wraps(take)
    def callback(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            take(*args, **kwargs)
        except Exception as problem:  # noqa: BLE001  the graph must not fail because of its report
            refuse(problem, may_raise=False)

    return callback


class _Callbacks:
    """The callbacks, without the class that LangChain wants."""

    #: In an async graph, too, they come in order and at once.
    run_inline = True
    raise_error = False

    def __init__(self, runs: Runs) -> None:
        super().__init__()
        self._runs = runs

    @_safely
    def on_chain_start(
        self,
        _serialized: Any,
        _inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str = "",
        **_: Any,
    ) -> None:
        """A graph, a node, or what runs inside one begins."""
        self._runs.begin(run_id, parent_run_id, name, tags or (), metadata or {})

    @_safely
    def on_chain_end(self, _outputs: Any, *, run_id: UUID, **_: Any) -> None:
        """One of them ends."""
        self._runs.end(run_id)

    @_safely
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """One of them fails, or waits for somebody."""
        self._runs.fail(run_id, error)

    @_safely
    def on_chat_model_start(
        self,
        _serialized: Any,
        _messages: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """A model is called."""
        self._runs.begin_model(run_id, parent_run_id, metadata or {})

    on_llm_start = on_chat_model_start

    @_safely
    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        """A model has answered."""
        message = getattr(response.generations[0][0], "message", None) if response.generations else None
        tokens = getattr(message, "usage_metadata", None) or {}
        told = getattr(message, "response_metadata", None) or {}
        self._runs.end_model(run_id, tokens, str(told.get("model_name") or told.get("model") or ""))

    @_safely
    def on_llm_error(self, _error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A model has failed."""
        self._runs.drop(run_id)


@cache
def _handler_class() -> Any:
    base: Any = import_module("langchain_core.callbacks").BaseCallbackHandler
    return type("FlowCallback", (_Callbacks, base), {})
