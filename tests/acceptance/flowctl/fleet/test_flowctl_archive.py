import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from masterflow.repository.tables import CrewAIFlowStateExtensions as Master
from masterflow.scripts.database import with_session
from tests.support.events.flows import new_context

CONTEXT = new_context()
CLIENT = ["--client", str(CONTEXT.client_account_id)]
OLD = datetime.now(UTC) - timedelta(days=91)


def count_rows():
    async def count(session):
        return await session.scalar(text("select count(*) from migration.crewai_flow_state_extensions"))

    return with_session(count)


@pytest.fixture
def flows(database_setting):
    async def make(session):
        for status, context in (("completed", CONTEXT), ("processing", CONTEXT), ("failed", new_context())):
            row = {"flow_id": uuid4(), "flow_type": "discovery", "flow_status": status}
            times = {"created_at": OLD, "updated_at": OLD}
            await session.execute(insert(Master).values({**row, **times, **context.model_dump()}))

    with_session(make)


def test_old_flows_are_counted_archived_and_restored_by_tenant(flowctl, flows, tmp_path):
    place = f"{tmp_path}/archive/"
    asked = ["flow", "archive", "--older-than", "90d"]
    code, said, _ = flowctl(*asked, "--all", "--dry-run", "--json")
    counted = json.loads(said)["tenants"]
    assert (code, [one["flows"] for one in counted]) == (0, [1, 1])
    assert count_rows() == 3

    code, said, _ = flowctl(*asked, *CLIENT, "--to", place)
    assert (code, said.startswith("1 flow archived in ")) == (0, True)
    assert count_rows() == 2
    assert json.loads(flowctl(*asked, "--all", "--to", place, "--json")[1]) == {
        "done": 1,
        "kept": 0,
        "named": 0,
    }
    assert count_rows() == 1
    code, said, _ = flowctl("flow", "restore", place, *CLIENT)
    assert (code, said) == (0, "1 flow restored, 0 there already.\n")
    assert json.loads(flowctl("flow", "restore", place, "--all", "--json")[1])["restored"] == 1
    assert count_rows() == 3

    code, said, _ = flowctl(*asked, "--all", "--thin")
    assert (code, said.startswith("2 flows thinned, ")) == (0, True)
    assert count_rows() == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--older-than", "90d", "--to", "x"], "Say whose flows"),
        (["--older-than", "90d", "--all"], "Say where the rows go"),
        (["--older-than", "soon", "--all", "--to", "x"], "is no span of time; pass 90d"),
        (["--older-than", "0d", "--all", "--to", "x"], "is no span of time"),
        (["--older-than", "90d", "--all", "--to", "/proc/none/x"], "is no folder to write to"),
    ],
)
def test_what_is_missing_or_nonsense_is_told(flowctl, flows, arguments, complaint):
    code, said, told = flowctl("flow", "archive", *arguments)
    assert (code, said) == (2, "")
    assert complaint in told
    assert told.count("\n") == 1
    assert count_rows() == 3


def test_a_disk_that_takes_nothing_is_told_and_costs_no_row(flowctl, flows, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/archive/x.part")

    monkeypatch.setattr("masterflow.tasks.retention.archive.Written.add", full)
    code, _, told = flowctl("flow", "archive", "--older-than", "90d", "--all", "--to", "/tmp/")
    assert code == 2
    assert "/archive/x.part cannot be written (No space left on device); no row" in told
    assert count_rows() == 3
