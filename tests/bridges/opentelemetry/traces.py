"""Real traces, each made in this process; prints what was reported of each, as JSON."""

import json
import sys
from contextlib import suppress
from typing import Any
from uuid import UUID

from opentelemetry.sdk.trace import TracerProvider

from masterflow import FlowContext
from masterflow.bridges.opentelemetry import flow_processor
from masterflow.tracker.testing import flow_reports

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")
CONVERSATION = {"gen_ai.conversation.id": "conversation-1"}


def tracer(**options: Any) -> Any:
    provider = TracerProvider()
    provider.add_span_processor(flow_processor(CONTEXT, **options))
    return provider.get_tracer("test")


def conventions_of_agents() -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Mapper"} | CONVERSATION
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small"}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.agent.name": "Mapper"}
    spans = tracer()
    with spans.start_as_current_span("invoke_agent Mapper", attributes=agent) as around:
        with spans.start_as_current_span("chat small", attributes=call) as span:
            span.set_attributes({"gen_ai.usage.input_tokens": 33, "gen_ai.usage.output_tokens": 21})
        with spans.start_as_current_span("execute_tool", attributes=tool):
            pass
        # What an agent sums up of its calls is not counted twice.
        around.set_attributes({"gen_ai.usage.input_tokens": 33})


def open_inference() -> None:
    spans = tracer()
    node = {"session.id": "session-1", "graph.node.id": "check", "openinference.span.kind": "CHAIN"}
    call = {"openinference.span.kind": "LLM", "llm.model_name": "large", "llm.token_count.prompt": 5}
    with suppress(ValueError), spans.start_as_current_span("check", attributes=node):
        with spans.start_as_current_span("call", attributes=call):
            pass
        raise ValueError("row 17 has no hostname")


def names_of_ones_own() -> None:
    spans = tracer(
        flow_id_from=lambda attributes: attributes.get("app.flow"),
        phase_from=lambda attributes: attributes.get("app.step"),
    )
    with (
        spans.start_as_current_span("run", attributes={"app.flow": "own-1"}),
        spans.start_as_current_span("step", attributes={"app.step": "load"}),
    ):
        pass


def broken_functions() -> None:
    def fail(_attributes: Any) -> str:
        raise KeyError("flow")

    with tracer(flow_id_from=fail).start_as_current_span("run", attributes=CONVERSATION):
        pass


def nobodys() -> None:
    with tracer().start_as_current_span("GET /", attributes={"http.route": "/"}):
        pass


SCENARIOS = (conventions_of_agents, open_inference, names_of_ones_own, broken_functions, nobodys)

if __name__ == "__main__":
    said = {}
    for run in SCENARIOS:
        with flow_reports() as told:
            run()
            said[run.__name__] = [event.model_dump(mode="json") for event in told]
    json.dump(said, sys.stdout)
