import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from psycopg.rows import DictRow

from masterflow.domain import FlowContext
from masterflow.domain.clock import to_microseconds
from masterflow.domain.events import Action, ControlRequested, question_id
from masterflow.tasks.enqueue import RequestMessage
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

_LONGEST_S = 60

PRELUDE = """
    import asyncio, sys, time
    from masterflow import FlowContext, FlowStopped, create_progress_tracker, flush, phase

    context = FlowContext(client_account_id=sys.argv[1], engagement_id=sys.argv[2], user_id="ann")
    tracker = create_progress_tracker(sys.argv[3], context)

    def say(*words):
        print(*words, flush=True)
"""

WORKING = """
    async def work():
        async with tracker, phase("data_import", stoppable="await"):
            say("ready")
            await asyncio.Event().wait()

    try:
        asyncio.run(work())
    except FlowStopped as stopped:
        say(time.time(), stopped)
    flush(10)
"""

STEPPING = """
    with tracker:
        say("ready")
        for _ in range(2_000):
            with phase("step", stoppable=True):
                time.sleep(0.01)
"""

ASKING = """
    with tracker, phase("field_mapping"):
        question = tracker.ask("Approve the mapping?", options=["approve", "reject"], key="mapping")
        say("ready")
        say("answer", question.wait())
    tracker.complete_flow()
    flush(10)
"""


@pytest.fixture
def context() -> FlowContext:
    return new_context()


@pytest.fixture
def flow_id(workplace: Workplace, worker: object, context: FlowContext) -> UUID:
    return workplace.new_flow(context)


@pytest.fixture
def orchestrate(
    workplace: Workplace, context: FlowContext, flow_id: UUID
) -> Iterator[Callable[[str], "Orchestrator"]]:
    """What starts an orchestrator in a process of its own."""
    started: list[Orchestrator] = []

    def start(code: str) -> Orchestrator:
        started.append(Orchestrator(workplace, context, flow_id, code))
        return started[-1]

    yield start
    for one in started:
        one.kill()


class Orchestrator:
    """A process with one flow, and what it says."""

    def __init__(self, workplace: Workplace, context: FlowContext, flow_id: UUID, code: str) -> None:
        ids = [str(context.client_account_id), str(context.engagement_id), str(flow_id)]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code), *ids],
            env={
                **os.environ,
                **workplace.environment,
                "ENRICHMENT_SPOOL_DIR": str(workplace.folder / "spool"),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        # What is never said must not be waited for without end.
        self._limit = threading.Timer(_LONGEST_S, self.process.kill)
        self._limit.daemon = True
        self._limit.start()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self._limit.cancel()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def ask(workplace: Workplace, context: FlowContext, flow_id: UUID, action: Action, **fields: object) -> UUID:
    """Ask something of a flow as the API does; return the request's id."""
    event = ControlRequested(
        event_id=uuid4(),
        flow_id=flow_id,
        occurred_at=datetime.now(UTC),
        action=action,
        by="bob",
        **context.__dict__,
        **fields,
    )
    message = RequestMessage(
        request_id=str(event.event_id),
        client_account_id=str(context.client_account_id),
        events=json.dumps([event.model_dump(mode="json")]),
        signed_at=to_microseconds(datetime.now(UTC)),
    )
    workplace.publisher.ask(message)
    return event.event_id


def row_once(workplace: Workplace, flow_id: UUID, status: str) -> DictRow:
    """Return the row of a flow once it has this status."""
    eventually(lambda: workplace.row(flow_id)["flow_status"] == status, timeout_s=15)
    return workplace.row(flow_id)


def test_a_cancelled_flow_stops_within_a_second_and_its_row_says_who_asked(
    workplace, context, flow_id, orchestrate
):
    orchestrator = orchestrate(WORKING)
    assert orchestrator.hear() == "ready"
    row_once(workplace, flow_id, "processing")
    time.sleep(1)  # its thread is at its usual pace
    asked_at = time.time()
    request_id = ask(workplace, context, flow_id, "cancel", reason="Too slow.")
    stopped_at, _, said = orchestrator.hear().partition(" ")
    assert said == "bob asked it to stop: Too slow."
    assert float(stopped_at) - asked_at <= 1
    row = row_once(workplace, flow_id, "cancelled")
    metadata = row["flow_metadata"]
    assert (metadata["cancelled_by"], metadata["cancel_reason"]) == ("bob", "Too slow.")
    assert metadata["cancel_request"] == str(request_id)
    assert [entry["status"] for entry in row["phase_transitions"]] == ["processing", "cancelled"]
    assert row["error_history"] == []


def test_a_flow_pauses_and_goes_on_as_people_want(workplace, context, flow_id, orchestrate):
    orchestrator = orchestrate(STEPPING)
    assert orchestrator.hear() == "ready"
    row_once(workplace, flow_id, "processing")
    ask(workplace, context, flow_id, "pause")
    row_once(workplace, flow_id, "paused")
    assert workplace.row(flow_id)["flow_metadata"]["paused_by"] == "bob"
    ask(workplace, context, flow_id, "resume")
    row_once(workplace, flow_id, "processing")
    ask(workplace, context, flow_id, "cancel")
    row_once(workplace, flow_id, "cancelled")


def asked(workplace: Workplace, flow_id: UUID) -> list[str]:
    return [entry["kind"] for entry in workplace.row(flow_id)["flow_metadata"].get("control", [])]


def test_an_answer_finds_the_process_that_was_killed_and_started_again(
    workplace, context, flow_id, orchestrate
):
    first = orchestrate(ASKING)
    assert first.hear() == "ready"
    eventually(lambda: "asked" in asked(workplace, flow_id))
    first.kill()
    question = question_id(flow_id, "mapping", 0)
    ask(workplace, context, flow_id, "answer", question_id=question, answer="approve")
    eventually(lambda: "answer" in asked(workplace, flow_id))
    # Nobody who might listen to what was told just now.
    workplace.redis.delete(f"enrichment:told:{context.client_account_id}:{context.engagement_id}")
    second = orchestrate(ASKING)
    assert second.hear() == "ready"
    assert second.hear() == "answer approve"
    second.process.wait(20)
    row = row_once(workplace, flow_id, "completed")
    assert "settled" in asked(workplace, flow_id)
    assert row["phase_execution_times"]["field_mapping"]["execution_time_ms"] < 10_000


def test_an_answer_that_was_taken_is_found_by_the_process_that_asks_again(
    workplace, context, flow_id, orchestrate
):
    for number in range(2):
        orchestrator = orchestrate(ASKING.replace("tracker.complete_flow()", ""))
        assert orchestrator.hear() == "ready"
        if number == 0:
            eventually(lambda: "asked" in asked(workplace, flow_id))
            question = question_id(flow_id, "mapping", 0)
            ask(workplace, context, flow_id, "answer", question_id=question, answer="approve")
        assert orchestrator.hear() == "answer approve"
        orchestrator.process.wait(20)
        eventually(lambda: "settled" in asked(workplace, flow_id))
        workplace.redis.delete(f"enrichment:told:{context.client_account_id}:{context.engagement_id}")
