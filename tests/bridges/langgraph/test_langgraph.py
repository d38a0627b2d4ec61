"""The rows of real graphs, made of what their callbacks reported."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.events import parse_event
from masterflow.repository.merge.merges import apply_events
from tests.support.events.flows import row_of

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".local" / "crewai" / "bin" / "python"

Told = dict[str, list[Any]]


@pytest.fixture(scope="module")
def told() -> Told:
    """What each scenario reported, in the environment of the frameworks."""
    if not PYTHON.exists():
        missing = "needs .local/crewai: bash scripts/environment.sh crewai"
        (pytest.fail if "CI" in os.environ else pytest.skip)(missing)
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "LANGSMITH_TRACING": "false"}
    done = subprocess.run(
        [str(PYTHON), "-m", "tests.bridges.langgraph.graphs"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    said = json.loads(done.stdout)
    return {name: [parse_event(event) for event in events] for name, events in said.items()}


@pytest.fixture
async def row(
    told: Told, session_factory: async_sessionmaker[AsyncSession]
) -> AsyncIterator[Callable[[str], Any]]:
    async with session_factory() as session:

        async def merged(name: str) -> RowMapping:
            await apply_events(session, told[name])
            return await row_of(session, told[name][0].flow_id)

        yield merged


def transitions(row: RowMapping) -> list[str]:
    return [f"{entry['phase']}:{entry['status']}" for entry in row.phase_transitions]


@pytest.mark.parametrize("name", ["sequence", "async"])
async def test_nodes_are_phases_and_the_end_completes_the_flow(row: Callable[[str], Any], name: str) -> None:
    found = await row(name)
    assert transitions(found) == ["read:processing", "read:completed", "check:processing", "check:completed"]
    assert found.flow_status == "completed"
    assert found.flow_metadata["external_flow_id"] == name
    assert found.phase_execution_times["read"]["attempts"] == 1


async def test_a_node_that_fails_fails_the_flow_with_one_error(row: Callable[[str], Any]) -> None:
    found = await row("failing")
    assert transitions(found)[-1] == "check:failed"
    assert found.flow_status == "failed"
    assert [entry["error"] for entry in found.error_history] == ["row 17 has no hostname"]


async def test_a_node_that_is_tried_again_is_a_retry(row: Callable[[str], Any]) -> None:
    found = await row("retried")
    failed = ["fetch:processing", "fetch:failed"]
    assert transitions(found) == [*failed, *failed, "fetch:processing", "fetch:completed"]
    assert found.retry_count == 2
    assert found.flow_status == "completed"


async def test_an_interrupt_waits_for_approval_and_is_no_error(row: Callable[[str], Any]) -> None:
    found = await row("waiting")
    assert transitions(found)[-2:] == ["approve:processing", "approve:paused"]
    assert found.flow_status == "waiting_for_approval"
    assert found.flow_metadata["last_progress_update"]["message"] == "Approve the mapping?"
    assert not found.error_history


async def test_a_thread_that_runs_again_goes_on(row: Callable[[str], Any]) -> None:
    found = await row("resumed")
    assert transitions(found)[-3:] == ["approve:paused", "approve:processing", "approve:completed"]
    assert found.flow_status == "completed"
    assert found.retry_count == 0


async def test_a_node_of_a_subgraph_is_a_phase_inside_its_node(row: Callable[[str], Any]) -> None:
    assert transitions(await row("nested")) == [
        "outer:processing", "outer/inner:processing", "outer/inner:completed", "outer:completed",
    ]  # fmt: skip


async def test_what_a_model_uses_is_its_nodes(row: Callable[[str], Any]) -> None:
    figures = (await row("model")).agent_performance_metrics["usage"]["ask"]["scripted-1"]
    assert (figures["calls"], figures["input_tokens"], figures["output_tokens"]) == (1, 33, 21)


def test_a_run_without_a_thread_is_nobodys_flow(told: Told) -> None:
    assert told["nobodys"] == []
