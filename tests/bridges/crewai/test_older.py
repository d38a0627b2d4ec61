"""A crewAI from before it told of failing flows, internal flows, executions and steps.

`./scripts/test --crewai-older` installs it, and runs these.
"""

import pytest

from tests.bridges.crewai.conftest import Application
from tests.bridges.crewai.flows_seen import attempts, errors, progress, transitions

ENVIRONMENT = "crewai-older"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def older(workplace):
    return Application(workplace, ENVIRONMENT)


@pytest.fixture(scope="module")
def seen(older):
    return older.run("sequence", "cycle", "failing", "failing twice", "paused", "nested", "threads")


def test_a_sequence_makes_the_same_row(older, seen):
    row = older.row(seen["sequence"]["flow_id"])
    assert row["flow_status"] == "completed"
    assert transitions(row) == ["a:processing", "a:completed", "b:processing", "b:completed"]
    assert attempts(row) == {"a": 1, "b": 1}
    assert progress(row) == 100


def test_a_failure_makes_the_same_row(older, seen):
    row = older.row(seen["failing"]["flow_id"])
    assert row["flow_status"] == "failed"
    assert transitions(row) == ["a:processing", "a:completed", "b:processing", "b:failed"]
    [error] = row["error_history"]
    assert (error["phase"], error["error"]) == ("b", "it broke, api_key=[masked]")
    assert error["details"]["levels"] == ["method", "flow"]
    assert error["details"]["outcome"] == "fatal"


def test_the_same_id_again_is_a_retry(older, seen):
    row = older.row(seen["failing twice"]["flow_id"])
    assert row["retry_count"] == 1
    assert len(row["error_history"]) == 2


def test_a_pause_a_nested_flow_and_threads_make_the_same_rows(older, seen):
    assert older.row(seen["paused"]["flow_id"])["flow_status"] == "waiting_for_approval"
    nested = older.row(seen["nested"]["flow_id"])
    assert nested["flow_status"] == "completed"
    assert errors(nested) == [("call/work", "inner broke")]
    for flow_id in seen["threads"]["flow_ids"]:
        assert attempts(older.row(flow_id)) == {"begin": 1, "step": 40, "work": 39}
