import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from masterflow.domain.events import (
    AgentPerformanceMeasured,
    ErrorOccurred,
    MemoryMeasured,
    PhaseTimed,
    PhaseTransitioned,
    StatusChanged,
    new_event,
)
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.broker import dead_letters
from masterflow.scripts.database import with_session
from masterflow.scripts.terminal.whole import console
from masterflow.tasks.dead_letters.letters import DeadLetter
from masterflow.tracker.outbox.segments import Segment, encode_record
from tests.support.events.flows import new_context

CONTEXT = new_context()
TENANT = ["--client", CONTEXT.client_account_id, "--engagement", CONTEXT.engagement_id]
NAME = "Discovery of Hamburg"
PHASE = "field_mapping_approval"
ERROR = "No answer from postgresql://refdata.example/units after 30 s."
FOLDER = "broker-host-7.internal-4711-ab"


@pytest.fixture
def flow(database_setting):
    flow_id = uuid4()
    event = lambda kind, **fields: new_event(kind, CONTEXT, flow_id, **fields)  # noqa: E731
    events = [
        event(PhaseTransitioned, phase=PHASE, status="processing"),
        event(PhaseTransitioned, phase=PHASE, status="completed"),
        event(PhaseTimed, phase=PHASE, execution_time_ms=1234.5),
        event(ErrorOccurred, phase=PHASE, error=ERROR),
        event(AgentPerformanceMeasured, metrics={"Schema Expert": {f"metric_{n}": n for n in range(9)}}),
        event(MemoryMeasured, metrics={"peak_memory_mb": 12.5}),
        event(StatusChanged, status="waiting_for_approval"),
    ]

    async def make(session):
        tenant = (CONTEXT.client_account_id, CONTEXT.engagement_id, CONTEXT.user_id)
        repository = CrewAIFlowStateExtensionsRepository(session, *tenant)
        await repository.create_master_flow(flow_id, "discovery", flow_name=NAME)
        await apply_events(session, events)

    with_session(make)
    return str(flow_id)


@pytest.fixture
def letter(redis_setting):
    now = datetime.now(UTC)
    letter = DeadLetter(
        letter_id=uuid4(),
        reason="signature_invalid",
        error=ERROR,
        event={"kind": "agent_performance_measured", "flow_id": str(uuid4())},
        first_seen=now,
        last_seen=now,
        attempts=12,
        batch_id=str(uuid4()),
        sender_id="host-1",
        client_account_id=str(uuid4()),
    )
    with dead_letters() as letters:
        letters.put([letter])
    return letter


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path))
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "lock").touch()
    segment = Segment.create(folder, "vital")
    segment.append(encode_record(b"{}"))
    segment.close()


@pytest.fixture(params=[40, 60, 80, 120, None], ids=lambda width: f"{width or 'pipe'}")
def width(request, flowctl, monkeypatch):
    """How wide the terminal is, or None for a pipe."""
    if request.param:
        monkeypatch.setattr(console, "width", request.param)
        monkeypatch.setenv("COLUMNS", str(request.param))
    else:
        monkeypatch.delenv("COLUMNS")
    return request.param


def assert_whole(said, width, *values):
    lines = said.splitlines()
    assert [value for value in values if not any(value in line for line in lines)] == [], said
    assert [line for line in lines if width and len(line.rstrip()) > width] == []


def words(text):
    return text.replace("_", " ").split()


def test_no_list_and_no_view_breaks_a_value_at_any_width(flowctl, flow, letter, spool, width):
    event = letter.event
    ids = (str(letter.letter_id), event["flow_id"], event["kind"], letter.reason, "12")
    assert_whole(flowctl("dead", "list")[1], width, *ids)
    assert_whole(flowctl("outbox", "status")[1], width, FOLDER, "no", "1")
    status = ("⏸ waiting for approval", flow)
    assert_whole(flowctl("flow", "list", *TENANT)[1], width, NAME, *status)
    metrics = (f"{number}" for number in range(5))
    shown = flowctl("flow", "show", flow, *TENANT)[1]
    assert_whole(
        shown, width, *words(NAME), *words(ERROR), *words(PHASE), "1.2 s", "1 (1 error)", *metrics, *status
    )
    # What has no column of its own is counted.
    assert_whole(shown, width, "more", "--json")
    results = json.loads(flowctl("doctor", "--json")[1])
    sentences = [it["name"] for it in results] + [word for it in results for word in it["advice"].split()]
    assert_whole(flowctl("doctor")[1], width, *sentences)
    assert_whole(flowctl("health", "beat")[1], width, "heartbeat")
