"""What spans say of models and agents, by the names of `gen_ai.*` and of OpenInference; pure."""

from collections.abc import Mapping
from typing import Any, Final

Attributes = Mapping[str, Any]

_FLOW: Final = ("gen_ai.conversation.id", "session.id")
_PHASE: Final = ("flow.node.name", "graph.node.id", "langgraph.node", "gen_ai.agent.name", "agent.name")
_AGENT: Final = ("gen_ai.agent.name", "agent.name", "graph.node.id", "flow.node.name")
_MODEL: Final = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
_INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT: Final = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
# What an agent or a chain sums up of its calls is in their own spans already.
_CALLS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings"})


def flow_id_in(attributes: Attributes) -> str | None:
    """Return the conversation's or session's id, if the span has one."""
    return _text(attributes, _FLOW)


def phase_in(attributes: Attributes) -> str | None:
    """Return the node's or agent's name, if the span is of one and not of a call."""
    return None if is_call(attributes) or _is_tool(attributes) else _text(attributes, _PHASE)


def agent_in(attributes: Attributes) -> str | None:
    """Return who called a model, if the span says it."""
    return _text(attributes, _AGENT)


def is_call(attributes: Attributes) -> bool:
    """Return whether a span is one call of a model."""
    kind = str(attributes.get("openinference.span.kind") or "").upper()
    return attributes.get("gen_ai.operation.name") in _CALLS or kind in ("LLM", "EMBEDDING")


def usage_in(attributes: Attributes) -> dict[str, Any]:
    """Return `{"model", "input_tokens", "output_tokens"}` of a call."""
    return {
        "model": _text(attributes, _MODEL) or "",
        "input_tokens": _number(attributes, _INPUT),
        "output_tokens": _number(attributes, _OUTPUT),
    }


def _is_tool(attributes: Attributes) -> bool:
    kind = str(attributes.get("openinference.span.kind") or "").upper()
    return attributes.get("gen_ai.operation.name") == "execute_tool" or kind == "TOOL"


def _text(attributes: Attributes, names: tuple[str, ...]) -> str | None:
    return next((str(attributes[name]) for name in names if attributes.get(name)), None)


def _number(attributes: Attributes, names: tuple[str, ...]) -> int:
    return next((int(attributes[name]) for name in names if attributes.get(name) is not None), 0)
