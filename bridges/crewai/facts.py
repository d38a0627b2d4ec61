"""What is copied of each kind of event, in the thread of crewAI's bus: scalars alone, and never the event."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from masterflow.tracker.summaries import describe_error, text_of

Facts = dict[str, Any]

_TEXT_CHARS: Final = 2_000
_MOST_NAMES: Final = 200


def _text(value: object) -> str:
    return str(value)[:_TEXT_CHARS]


def flow_id_of(flow: Any) -> str:
    """Return the id of a flow's state, which is the id that its caller knows."""
    state = getattr(flow, "state", None)
    found = state.get("id") if isinstance(state, Mapping) else getattr(state, "id", None)
    # In older versions the state may be a proxy of a mapping that is none itself.
    return _text(found or getattr(flow, "flow_id", None) or "")


def is_internal(flow: Any) -> bool:
    """Return whether a flow is crewAI's own machinery, such as what an agent's run is made of."""
    kind = type(flow)
    return bool(getattr(kind, "is_crewai_internal", kind.__module__.startswith("crewai.")))


def methods_of(flow: Any) -> list[str]:
    """Return the names of the methods that a flow declares."""
    return [str(name) for name in list(getattr(flow, "_methods", None) or ())[:_MOST_NAMES]]


def error_facts(error: object) -> Facts:
    """Return what an error says of itself: its text, its type, and where it was raised."""
    facts: Facts = {"error": text_of(error)[:_TEXT_CHARS], **describe_error(error)}
    if type(error).__name__ == "HookAborted":
        facts["is_stopped"] = True
    return facts


def _flow(source: Any, event: Any) -> Facts:
    if is_internal(source):
        return {"is_internal": True}
    return {"flow_id": flow_id_of(source), "flow_name": _text(event.flow_name)}


def _flow_started(source: Any, event: Any) -> Facts:
    facts = _flow(source, event)
    if "flow_id" in facts:
        facts["methods"] = methods_of(source)
        facts["inputs"] = [_text(name)[:80] for name in list(event.inputs or ())[:20]]
    return facts


def _flow_failed(source: Any, event: Any) -> Facts:
    return _flow(source, event) | error_facts(event.error)


def _method(source: Any, event: Any) -> Facts:
    if is_internal(source):
        return {"is_internal": True}
    return {"method": _text(event.method_name)}


def _method_failed(source: Any, event: Any) -> Facts:
    return _method(source, event) | error_facts(event.error)


def _waiting(source: Any, event: Any) -> Facts:
    return _method(source, event) | {"message": _text(event.message)}


def _flow_paused(source: Any, event: Any) -> Facts:
    return _flow(source, event) | {"method": _text(event.method_name), "message": _text(event.message)}


def _answered(source: Any, event: Any) -> Facts:
    return _method(source, event) | {"outcome": _text(getattr(event, "outcome", None) or "")}


def _crew(_source: Any, event: Any) -> Facts:
    return {"crew": _text(event.crew_name or "")}


def _task(_source: Any, event: Any) -> Facts:
    agent = getattr(getattr(event, "task", None), "agent", None)
    return {"task": _text(event.task_name or "")[:200], "agent": _text(getattr(agent, "role", None) or "")}


def _agent(_source: Any, event: Any) -> Facts:
    agent, task = event.agent, getattr(event, "task", None)
    name = getattr(task, "name", None) or getattr(task, "description", None) or ""
    return {"agent": _text(agent.role), "agent_id": _text(agent.id), "task": _text(name)[:200]}


def _lite_agent(_source: Any, event: Any) -> Facts:
    info = event.agent_info
    return {"agent": _text(info.get("role", "")), "agent_id": _text(info.get("id", ""))}


def _of_agent(_source: Any, event: Any) -> Facts:
    return {"agent": _text(event.agent_role or ""), "task": _text(event.task_name or "")[:200]}


def _model(source: Any, event: Any) -> Facts:
    return _of_agent(source, event) | {"model": _text(event.model or "")}


def _model_answered(source: Any, event: Any) -> Facts:
    usage = getattr(event, "usage", None)
    tokens = usage if isinstance(usage, Mapping) else {}
    numbers = {str(key): value for key, value in tokens.items() if isinstance(value, int | float)}
    return _model(source, event) | ({"usage": numbers} if numbers else {})


def _tool(source: Any, event: Any) -> Facts:
    return _of_agent(source, event) | {"tool": _text(event.tool_name)}


def _guardrail(source: Any, event: Any) -> Facts:
    facts = _of_agent(source, event) | {"retries": int(event.retry_count)}
    if hasattr(event, "success"):
        facts["is_passed"] = bool(event.success)
    return facts


def _memory_done(_source: Any, event: Any) -> Facts:
    for name in ("save_time_ms", "query_time_ms", "retrieval_time_ms"):
        if hasattr(event, name):
            return {"took_ms": float(getattr(event, name))}
    return {}


def _nothing(_source: Any, _event: Any) -> Facts:
    return {}


def _with_error(facts: Callable[[Any, Any], Facts]) -> Callable[[Any, Any], Facts]:
    def extract(source: Any, event: Any) -> Facts:
        kind = getattr(event, "error_type", None)
        type_name = {"error_type": kind.__name__} if isinstance(kind, type) else {}
        return facts(source, event) | error_facts(event.error) | type_name

    return extract


#: What is copied of each kind; of every other kind that opens or closes a scope, nothing.
EXTRACTS: Final[Mapping[str, Callable[[Any, Any], Facts]]] = {
    "flow_started": _flow_started,
    "flow_finished": _flow,
    "flow_failed": _flow_failed,
    "flow_paused": _flow_paused,
    "method_execution_started": _method,
    "method_execution_finished": _method,
    "method_execution_failed": _method_failed,
    "method_execution_paused": _waiting,
    "human_feedback_requested": _waiting,
    "human_feedback_received": _answered,
    "flow_input_requested": _waiting,
    "flow_input_received": _answered,
    "crew_kickoff_started": _crew,
    "crew_kickoff_completed": _crew,
    "crew_kickoff_failed": _with_error(_crew),
    "task_started": _task,
    "task_completed": _task,
    "task_failed": _with_error(_task),
    "agent_execution_started": _agent,
    "agent_execution_completed": _agent,
    "agent_execution_error": _with_error(_agent),
    "lite_agent_execution_started": _lite_agent,
    "lite_agent_execution_completed": _lite_agent,
    "lite_agent_execution_error": _with_error(_lite_agent),
    "llm_call_started": _model,
    "llm_call_completed": _model_answered,
    "llm_call_failed": _with_error(_model),
    "tool_usage_started": _tool,
    "tool_usage_finished": _tool,
    "tool_usage_error": _with_error(_tool),
    "tool_failure_detected": _tool,
    "llm_guardrail_started": _guardrail,
    "llm_guardrail_completed": _guardrail,
    "memory_save_completed": _memory_done,
    "memory_query_completed": _memory_done,
    "memory_retrieval_completed": _memory_done,
    "memory_save_failed": _with_error(_nothing),
    "memory_query_failed": _with_error(_nothing),
    "memory_retrieval_failed": _with_error(_nothing),
}

#: What a flow can do without when the queue is full; transitions, ends and errors are no details.
DETAILS: Final = frozenset(
    kind for kind in EXTRACTS if kind.startswith(("llm_", "tool_", "memory_", "agent_", "lite_agent_"))
)


def extract(kind: str, source: Any, event: Any) -> Facts:
    """Return what is kept of an event."""
    return EXTRACTS.get(kind, _nothing)(source, event)
