import json
from uuid import uuid4

import pytest

from masterflow.domain.events import ErrorOccurred, PhaseTimed, StatusChanged, new_event
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.database import with_session
from tests.support.events.flows import new_context, new_flow

CONTEXT = new_context()
TENANT = ["--client", CONTEXT.client_account_id, "--engagement", CONTEXT.engagement_id]


@pytest.fixture
def flows(database_setting):
    flow_ids = [uuid4() for _ in range(3)]

    def event(kind, **fields):
        return new_event(kind, CONTEXT, flow_ids[0], **fields)

    async def make(session):
        for flow_id in flow_ids:
            await new_flow(session, CONTEXT, flow_id)
        await apply_events(
            session,
            [
                event(PhaseTimed, phase="data_import", execution_time_ms=1200.0),
                event(ErrorOccurred, phase="data_import", error="no answer within 30 s"),
                event(StatusChanged, status="failed"),
            ],
        )

    with_session(make)
    return flow_ids


def test_a_fleet_is_told(flowctl, flows):
    code, said, _ = flowctl("fleet", *TENANT)
    assert code == 0
    words = " ".join(said.split())
    assert "3 began, 0 completed, 1 failed (100 %), 0 cancelled." in words
    assert "Open now: 2 initialized." in words
    assert "no answer within # s" in words
    assert "data_import" in words


def test_programs_get_what_the_api_gives(flowctl, flows):
    code, said, _ = flowctl("fleet", *TENANT, "--window", "month", "--json")
    view = json.loads(said)
    assert code == 0
    assert view["window"]["name"] == "month"
    assert view["window"]["is_whole"] is True
    assert view["in_all"] == {"started": 3, "completed": 0, "failed": 1, "cancelled": 0}


def test_an_engagement_without_flows_is_told_in_full(flowctl, database_setting):
    code, said, _ = flowctl("fleet", "--client", uuid4(), "--engagement", uuid4())
    assert code == 0
    assert "0 began" in said
    assert "Open now: none." in said


def test_another_window_is_refused(flowctl, database_setting):
    code, _, errors = flowctl("fleet", *TENANT, "--window", "year")
    assert code == 2
    assert "hour, day, week, month" in errors
