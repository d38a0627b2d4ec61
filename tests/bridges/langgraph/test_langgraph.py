"""The rows of real graphs, made of what their callbacks reported."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import RowMapping

from tests.bridges.conftest import ReportsOf, Told

pytestmark = pytest.mark.timeout(240)

Row = Callable[[str], Any]


@pytest.fixture(scope="module")
def told(reports_of: ReportsOf) -> Told:
    return reports_of("tests.bridges.langgraph.graphs")


def transitions(row: RowMapping) -> list[str]:
    return [f"{entry['phase']}:{entry['status']}" for entry in row.phase_transitions]


@pytest.mark.parametrize("name", ["sequence", "async"])
async def test_nodes_are_phases_and_the_end_completes_the_flow(row: Row, name: str) -> None:
    found = await row(name)
    assert transitions(found) == ["read:processing", "read:completed", "check:processing", "check:completed"]
    assert found.flow_status == "completed"
    assert found.flow_metadata["external_flow_id"] == name
    assert found.phase_execution_times["read"]["attempts"] == 1


async def test_a_node_that_fails_fails_the_flow_with_one_error(row: Row) -> None:
    found = await row("failing")
    assert transitions(found)[-1] == "check:failed"
    assert found.flow_status == "failed"
    assert [entry["error"] for entry in found.error_history] == ["row 17 has no hostname"]


async def test_a_node_that_is_tried_again_is_a_retry(row: Row) -> None:
    found = await row("retried")
    failed = ["fetch:processing", "fetch:failed"]
    assert transitions(found) == [*failed, *failed, "fetch:processing", "fetch:completed"]
    assert found.retry_count == 2
    assert found.flow_status == "completed"


async def test_an_interrupt_waits_for_approval_and_is_no_error(row: Row) -> None:
    found = await row("waiting")
    assert transitions(found)[-2:] == ["approve:processing", "approve:paused"]
    assert found.flow_status == "waiting_for_approval"
    assert found.flow_metadata["last_progress_update"]["message"] == "Approve the mapping?"
    assert not found.error_history


async def test_a_thread_that_runs_again_goes_on(row: Row) -> None:
    found = await row("resumed")
    assert transitions(found)[-3:] == ["approve:paused", "approve:processing", "approve:completed"]
    assert found.flow_status == "completed"
    assert found.retry_count == 0


async def test_a_node_of_a_subgraph_is_a_phase_inside_its_node(row: Row) -> None:
    assert transitions(await row("nested")) == [
        "outer:processing", "outer/inner:processing", "outer/inner:completed", "outer:completed",
    ]  # fmt: skip


async def test_what_a_model_uses_is_its_nodes(row: Row) -> None:
    figures = (await row("model")).agent_performance_metrics["usage"]["ask"]["scripted-1"]
    assert (figures["calls"], figures["input_tokens"], figures["output_tokens"]) == (1, 33, 21)


def test_a_run_without_a_thread_is_nobodys_flow(told: Told) -> None:
    assert told["nobodys"] == []
