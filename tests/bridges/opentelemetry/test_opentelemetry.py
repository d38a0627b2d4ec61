"""The rows of real traces, made of what their span processor reported."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import RowMapping

from tests.bridges.conftest import ReportsOf, Told

pytestmark = pytest.mark.timeout(240)

Row = Callable[[str], Any]


@pytest.fixture(scope="module")
def told(reports_of: ReportsOf) -> Told:
    return reports_of("tests.bridges.opentelemetry.traces")


def transitions(row: RowMapping) -> list[str]:
    return [f"{entry['phase']}:{entry['status']}" for entry in row.phase_transitions]


async def test_an_agent_is_a_phase_and_its_calls_are_counted_once(row: Row) -> None:
    found = await row("conventions_of_agents")
    assert transitions(found) == ["Mapper:processing", "Mapper:completed"]
    assert found.flow_status == "processing"
    assert len(found.phase_transitions[1]["metadata"]["trace_id"]) == 32
    [figures] = found.agent_performance_metrics["usage"]["Mapper"].values()
    assert (figures["calls"], figures["input_tokens"], figures["output_tokens"]) == (1, 33, 21)


async def test_a_span_that_ends_by_an_error_fails_its_phase(row: Row) -> None:
    found = await row("open_inference")
    assert transitions(found) == ["check:processing", "check:failed"]
    assert [entry["error"] for entry in found.error_history] == ["ValueError: row 17 has no hostname"]
    assert found.agent_performance_metrics["usage"]["check"]["large"]["input_tokens"] == 5


async def test_flows_and_phases_may_have_names_of_ones_own(row: Row) -> None:
    found = await row("names_of_ones_own")
    assert transitions(found) == ["load:processing", "load:completed"]
    assert found.flow_metadata["external_flow_id"] == "own-1"


@pytest.mark.parametrize("name", ["broken_functions", "nobodys"])
def test_spans_of_no_flow_are_left_alone_and_a_function_that_fails_fails_no_program(
    told: Told, name: str
) -> None:
    assert told[name] == []
