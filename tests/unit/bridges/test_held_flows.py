"""Which flows processes hold by the bridges that have no queue: OpenTelemetry's, LangGraph's and Celery's."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow import tracker
from masterflow.bridges.celery import bridge as celery_bridge
from masterflow.bridges.langgraph.runs import Runs, thread_id_in
from masterflow.bridges.opentelemetry.conventions import flow_id_in, phase_in
from masterflow.bridges.opentelemetry.spans import Spans
from masterflow.tracker.attempts import attempts_here
from masterflow.tracker.life.holdings import process_holdings
from masterflow.tracker.tracker import _flows_here
from tests.support.events.reported import CONTEXT


@pytest.fixture(autouse=True)
def _spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    tracker.shutdown(0)
    process_holdings.renew()
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    # Nothing listens there: what is reported stays.
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    yield
    tracker.shutdown(0)
    # A task that ended with its process has left its flow and its phase open around this code.
    _flows_here.set(())
    attempts_here.set(())


@pytest.fixture
def flow_id() -> UUID:
    return uuid4()


def held() -> set[UUID]:
    return set(process_holdings.now.flows())


# -- OpenTelemetry


@pytest.fixture
def spans() -> Spans:
    return Spans(CONTEXT, flow_id_in, phase_in, "discovery", create_rows=True)


def test_a_flow_is_held_while_any_of_its_spans_is_open(spans, flow_id):
    spans.begin(1, None, {"session.id": str(flow_id)}, trace_id="0")
    assert held() == {flow_id}
    spans.begin(2, 1, {"gen_ai.agent.name": "Mapper"}, trace_id="0")
    spans.end(1, {}, None)
    assert held() == {flow_id}
    spans.end(2, {}, None)
    assert held() == set()


def test_a_span_that_is_given_up_holds_nothing(spans, flow_id, monkeypatch):
    monkeypatch.setattr("masterflow.bridges.opentelemetry.spans._MOST_OPEN", 1)
    other = uuid4()
    spans.begin(1, None, {"session.id": str(flow_id)}, trace_id="0")
    spans.begin(2, None, {"session.id": str(other)}, trace_id="1")
    assert held() == {other}


# -- LangGraph


class GraphBubbleUp(Exception):
    pass


class GraphInterrupt(GraphBubbleUp):
    pass


@pytest.fixture
def runs() -> Runs:
    return Runs(CONTEXT, "discovery", create_rows=True, phases=(), flow_id_from=thread_id_in)


def begin_node(runs: Runs, flow_id: UUID) -> tuple[UUID, UUID]:
    graph, node = uuid4(), uuid4()
    runs.begin(graph, None, "graph", (), {"thread_id": str(flow_id)})
    runs.begin(node, graph, "check", ("graph:step:1",), {"langgraph_node": "check"})
    return graph, node


def test_a_graph_is_held_until_it_ends(runs, flow_id):
    graph, node = begin_node(runs, flow_id)
    assert held() == {flow_id}
    runs.end(node)
    assert held() == {flow_id}
    runs.end(graph)
    assert held() == set()


def test_a_graph_that_fails_is_held_no_more(runs, flow_id):
    graph, node = begin_node(runs, flow_id)
    error = ValueError("no rows")
    runs.fail(node, error)
    runs.fail(graph, error)
    assert held() == set()


def test_a_graph_that_waits_for_a_human_is_held_once_it_goes_on(runs, flow_id):
    graph, node = begin_node(runs, flow_id)
    runs.fail(node, GraphInterrupt((SimpleNamespace(value="Go on?"),)))
    assert held() == set()
    runs.end(graph)
    graph, node = begin_node(runs, flow_id)
    assert held() == {flow_id}
    runs.end(node)
    runs.end(graph)
    assert held() == set()


# -- Celery


@pytest.fixture
def task() -> Iterator[Any]:
    celery_bridge.install(CONTEXT)
    yield SimpleNamespace(name="shop.load", request=SimpleNamespace(retries=0))
    celery_bridge.uninstall()
    celery_bridge._running.clear()


def begin_task(task: Any, flow_id: UUID) -> None:
    celery_bridge._begun(task, task_id="1", kwargs={"flow_id": str(flow_id)})


@pytest.mark.parametrize("state", ["SUCCESS", "RETRY", "FAILURE", "IGNORED"])
def test_a_flow_is_held_while_a_task_works_for_it(task, flow_id, state):
    begin_task(task, flow_id)
    assert held() == {flow_id}
    celery_bridge._ended(task, task_id="1", state=state)
    assert held() == set()


def test_a_task_that_is_ended_with_its_process_holds_its_flow_to_the_end(task, flow_id):
    begin_task(task, flow_id)
    celery_bridge._ended(task, task_id="1", state=None)
    assert held() == {flow_id}
