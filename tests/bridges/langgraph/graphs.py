"""Real graphs, each run in this process; prints what was reported of each, as JSON."""

import asyncio
import json
import sys
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypedDict
from uuid import UUID

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from masterflow import FlowContext
from masterflow.bridges.langgraph import flow_callback
from masterflow.tracker.testing import flow_reports

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")


class State(TypedDict):
    rows: int


def graph(**nodes: Any) -> Any:
    """Return a graph of nodes one after the other; a node may be a pair with its retry policy."""
    built = StateGraph(State)
    names = [START, *nodes, END]
    for name, node in nodes.items():
        function, policy = node if isinstance(node, tuple) else (node, None)
        built.add_node(name, function, retry_policy=policy)
    for before, after in pairwise(names):
        built.add_edge(before, after)
    return built.compile(checkpointer=InMemorySaver())


def add(state: State) -> State:
    return {"rows": state["rows"] + 1}


async def add_later(state: State) -> State:
    await asyncio.sleep(0.01)
    return {"rows": state["rows"] + 1}


def fail(state: State) -> State:
    raise ValueError("row 17 has no hostname")


def approve(state: State) -> State:
    return {"rows": state["rows"] + int(interrupt("Approve the mapping?"))}


def ask_model(state: State) -> State:
    usage = {"input_tokens": 33, "output_tokens": 21, "total_tokens": 54}
    answer = AIMessage("ok", usage_metadata=usage, response_metadata={"model_name": "scripted-1"})
    GenericFakeChatModel(messages=iter([answer])).invoke("map it")
    return state


def flaky() -> Any:
    tries = iter([ConnectionError("503"), ConnectionError("503"), None])

    def node(state: State) -> State:
        if error := next(tries):
            raise error
        return add(state)

    return node, RetryPolicy(max_attempts=3, initial_interval=0, jitter=False, retry_on=ConnectionError)


def config(thread_id: str | None) -> dict[str, Any]:
    found = {"thread_id": thread_id} if thread_id else {}
    return {"configurable": found, "callbacks": [flow_callback(CONTEXT)]}


def invoke(made: Any, *inputs: Any, thread_id: str | None = None) -> None:
    for each in inputs or [{"rows": 0}]:
        # A callback of its own each time, as in another process.
        made.invoke(each, config(thread_id))


def failing() -> None:
    with suppress(ValueError):
        invoke(graph(read=add, check=fail), thread_id="failing")


def nobodys() -> None:
    built = StateGraph(State)
    built.add_node("read", add)
    built.add_edge(START, "read")
    built.compile().invoke({"rows": 0}, config(None))


def in_a_loop() -> None:
    made = graph(read=add_later, check=add_later)
    asyncio.run(made.ainvoke({"rows": 0}, config("async")))


SCENARIOS = {
    "sequence": lambda: invoke(graph(read=add, check=add), thread_id="sequence"),
    "async": lambda: asyncio.run(
        graph(read=add_later, check=add_later).ainvoke({"rows": 0}, config("async"))
    ),
    "failing": failing,
    "retried": lambda: invoke(graph(fetch=flaky()), thread_id="retried"),
    "waiting": lambda: invoke(graph(read=add, approve=approve), thread_id="waiting"),
    "resumed": lambda: invoke(
        graph(read=add, approve=approve), {"rows": 0}, Command(resume=5), thread_id="resumed"
    ),
    "nested": lambda: invoke(graph(outer=graph(inner=add)), thread_id="nested"),
    "model": lambda: invoke(graph(ask=ask_model), thread_id="model"),
    "nobodys": nobodys,
}

if __name__ == "__main__":
    said = {}
    for name, run in SCENARIOS.items():
        with flow_reports() as told:
            run()
            said[name] = [event.model_dump(mode="json") for event in told]
    json.dump(said, sys.stdout)
