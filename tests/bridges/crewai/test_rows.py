"""The rows of real flows, each compared with what really ran."""

import pytest

from masterflow.domain import flow_uuid
from masterflow.domain.ids import EXTERNAL_ID_KEY
from tests.bridges.crewai.flows_seen import (
    agents,
    attempts,
    errors,
    progress,
    snapshot,
    times_ms,
    transitions,
    usage,
)

pytestmark = pytest.mark.timeout(240)


def done(*phases: str) -> list[str]:
    return [f"{phase}:{status}" for phase in phases for status in ("processing", "completed")]


def test_every_report_arrived_and_none_was_lost(seen):
    assert {name: (one["is_flushed"], one["lost"]) for name, one in seen.items()} == dict.fromkeys(
        seen, (True, {})
    )


def test_a_sequence(row_of, seen):
    row = row_of("sequence")
    assert row["flow_status"] == "completed"
    assert transitions(row) == done("a", "b")
    assert attempts(row) == {"a": 1, "b": 1}
    assert times_ms(row)["a"] >= 20
    assert row["retry_count"] == 0
    assert errors(row) == []
    assert progress(row) == 100
    assert snapshot(row)["workflow_status"] == "completed"
    assert row["flow_type"] == "discovery"
    assert row["flow_name"] == "Sequence"
    assert row["user_id"] == "ann"
    assert row["flow_persistence_data"]["current_phase"] == "b"
    assert row["flow_metadata"]["crewai"]["flow_name"] == "Sequence"
    assert row["flow_metadata"]["is_processing"] is False


def test_branches_at_once_are_timed_each_by_itself(row_of):
    row = row_of("parallel")
    told = transitions(row)
    assert row["flow_status"] == "completed"
    assert told.index("join:processing") > max(told.index("left:completed"), told.index("right:completed"))
    assert times_ms(row)["left"] == pytest.approx(200, abs=30)
    assert times_ms(row)["right"] == pytest.approx(100, abs=30)
    assert progress(row) == 100


def test_a_cycle_is_no_retry(row_of):
    row = row_of("cycle")
    assert row["flow_status"] == "completed"
    assert attempts(row) == {"begin": 1, "check": 3, "cycle": 2, "loop": 2}
    assert row["retry_count"] == 0
    assert transitions(row) == done("begin", "check", "cycle", "loop", "check", "cycle", "loop", "check")


def test_a_failure_is_one_error_and_reaches_the_user_as_it_was(row_of, seen):
    row = row_of("failing")
    assert seen["failing"]["is_same_error"]
    assert row["flow_status"] == "failed"
    assert transitions(row) == [*done("a"), "b:processing", "b:failed"]
    [error] = row["error_history"]
    assert (error["phase"], error["error"]) == ("b", "it broke, api_key=[masked]")
    assert error["details"]["levels"] == ["method", "flow"]
    assert error["details"]["outcome"] == "fatal"
    assert error["details"]["error_type"] == "ValueError"
    assert attempts(row) == {"a": 1, "b": 1}
    assert snapshot(row)["workflow_status"] == "failed"
    assert "sk-" not in str(row)


def test_the_same_id_again_is_a_retry_of_the_phase_that_failed(row_of):
    row = row_of("failing twice")
    assert row["flow_status"] == "failed"
    assert row["retry_count"] == 1
    assert len(row["error_history"]) == 2
    assert transitions(row) == 2 * [*done("a"), "b:processing", "b:failed"]
    assert attempts(row) == {"a": 2, "b": 2}


def test_a_branch_that_is_given_up_is_cancelled(row_of):
    row = row_of("parallel failing")
    assert row["flow_status"] == "failed"
    assert sorted(transitions(row)) == ["x:failed", "x:processing", "y:cancelled", "y:processing"]
    assert errors(row) == [("x", "x broke")]
    assert attempts(row) == {"x": 1}


def test_a_pause_waits_for_approval_and_says_what_for(resumed):
    row, _ = resumed
    assert row["flow_status"] == "waiting_for_approval"
    assert transitions(row) == ["propose:processing", "propose:paused"]
    assert row["phase_transitions"][-1]["metadata"]["message"] == "Approve the mapping?"
    assert snapshot(row)["message"] == "Approve the mapping?"
    assert row["flow_metadata"]["awaiting_user_approval"] is True


def test_another_process_resumes_and_the_wait_is_in_no_time(resumed):
    _, row = resumed
    assert row["flow_status"] == "completed"
    assert transitions(row) == ["propose:processing", "propose:paused", *done("propose", "apply")]
    assert row["phase_transitions"][2]["metadata"] == {"is_resumed": True}
    assert attempts(row) == {"propose": 1, "apply": 1}
    assert snapshot(row)["message"] == ""
    assert row["flow_metadata"]["awaiting_user_approval"] is False
    assert row["retry_count"] == 0
    assert errors(row) == []
    assert progress(row) == 100


def test_usage_is_the_sum_of_both_processes(resumed):
    before, after = resumed
    assert usage(before) == {("Mapper", "scripted-1"): (1, 11, 7)}
    assert usage(after) == {("Mapper", "scripted-1"): (2, 22, 14)}


def test_a_wait_inside_a_method_is_in_no_time(row_of):
    row = row_of("asked")
    assert row["flow_status"] == "completed"
    assert transitions(row) == ["ask:processing", "ask:paused", *done("ask")]
    assert 50 <= times_ms(row)["ask"] < 300
    assert attempts(row) == {"ask": 1}


def test_a_crew_tells_its_tool_once_and_its_guardrail_once(row_of):
    row = row_of("crewed")
    assert row["flow_status"] == "completed"
    assert row["retry_count"] == 1
    [error] = row["error_history"]
    assert (error["phase"], error["error"]) == ("map_it", "the tool is down, api_key=[masked]")
    assert error["details"]["outcome"] == "recovered"
    assert error["details"]["tries"] == 3
    assert error["details"]["tool"] == "broken"
    assert agents(row) == [
        ("Mapper", "tool", "failed"),
        ("Mapper", "worked", "completed"),
        ("Mapper", "worked", "completed"),
        ("Mapper", "task", "completed"),
    ]
    assert {entry["phase"] for entry in row["agent_collaboration_log"]} == {"map_it"}
    assert usage(row) == {("Mapper", "scripted-1"): (3, 33, 21)}
    assert row["flow_metadata"]["usage"]["calls"] == 3
    assert transitions(row) == done("prepare", "map_it")


def test_an_error_that_passes_six_levels_is_one_entry(row_of):
    row = row_of("model down")
    assert row["flow_status"] == "failed"
    [error] = row["error_history"]
    assert error["details"]["levels"] == ["llm", "agent", "task", "crew", "method", "flow"]
    assert error["details"]["outcome"] == "fatal"
    assert error["details"]["tries"] == 3
    assert row["retry_count"] == 2


def test_a_flow_that_people_asked_to_stop_says_who_asked(row_of, seen):
    row = row_of("told to stop")
    assert seen["told to stop"]["error"] == "HookAborted"
    assert row["flow_status"] == "cancelled"
    assert row["flow_metadata"]["cancelled_by"] == "ann"
    assert row["flow_metadata"]["cancel_reason"] == "Too slow."


def test_a_flow_that_is_stopped_is_cancelled_without_an_error(row_of, seen):
    row = row_of("stopped")
    assert seen["stopped"]["error"] == "HookAborted"
    assert row["flow_status"] == "cancelled"
    assert transitions(row) == [*done("a"), "b:processing", "b:cancelled"]
    assert errors(row) == []
    assert attempts(row) == {"a": 1}
    assert row["retry_count"] == 0


def test_a_text_id_has_its_row(application, seen):
    row = application.row(seen["text id"]["flow_id"])
    assert row["flow_id"] == flow_uuid("ext-42")
    assert row["flow_metadata"][EXTERNAL_ID_KEY] == "ext-42"
    # Told with the rest, and by no tracker before that: a worker would ask its user to make the row.
    clocks = row["flow_metadata"]["_enrichment"]["clocks"]["flow_metadata"]
    assert clocks[EXTERNAL_ID_KEY] == clocks["crewai"]
    assert transitions(row) == done("a", "b")


def test_no_row_is_made_of_a_flow_that_is_only_constructed(application, seen):
    with application.place.database() as database:
        query = (
            "select count(*) as rows from migration.crewai_flow_state_extensions where flow_name = 'Inner'"
        )
        assert database.execute(query).fetchone()["rows"] == 0


def test_many_flows_at_once_pair_every_end(application, seen):
    assert seen["threads"]["errors"] == [None] * 6
    for flow_id in seen["threads"]["flow_ids"]:
        row = application.row(flow_id)
        assert row["flow_status"] == "completed"
        assert attempts(row) == {"begin": 1, "step": 40, "work": 39}
        assert min(times_ms(row).values()) >= 0
        assert len(row["phase_transitions"]) == 100


def test_a_slow_listener_of_others_loses_no_end(row_of):
    row = row_of("slow listener")
    assert row["flow_status"] == "completed"
    assert attempts(row) == {"begin": 1, "check": 3, "cycle": 2, "loop": 2}
    assert transitions(row) == done("begin", "check", "cycle", "loop", "check", "cycle", "loop", "check")


def test_handlers_that_were_removed_are_there_again(row_of):
    assert transitions(row_of("removed handlers")) == done("a", "b")


def test_each_tenant_has_its_own_rows_and_nobody_has_none(application, seen):
    ids = seen["two tenants"]
    own, other = application.row(ids["own"]), application.row(ids["other"])
    assert own["engagement_id"].int == 8
    assert other["engagement_id"].int == 9
    assert transitions(own) == transitions(other) == done("a", "b")
    assert application.place.find_row(flow_uuid(ids["nobodys"])) is None
    assert ids["ignored_flows"] == 1


def test_a_flow_inside_a_flow_may_fail_alone(row_of):
    row = row_of("nested")
    assert row["flow_status"] == "completed"
    assert transitions(row) == [
        "call:processing", "call/work:processing", "call/work:failed", "call:completed", *done("after"),
    ]  # fmt: skip
    [error] = row["error_history"]
    assert (error["phase"], error["error"]) == ("call/work", "inner broke")
    assert error["details"]["outcome"] == "recovered"


def test_hooks_written_by_hand_inside_a_method_report_on_its_row(row_of):
    row = row_of("hand-wired")
    assert row["flow_status"] == "failed"
    assert attempts(row) == {"flaky": 1, "fetch": 2, "passes_on": 1, "store": 1}
    assert errors(row) == [("fetch", "503 from the provider"), ("store", "the disk is gone")]
    assert row["retry_count"] == 1


def test_a_fork_after_a_flow_is_told_in_a_sentence(seen):
    assert "a kickoff here hangs: start workers by spawn" in seen["forked"]["told"]
    assert seen["forked"]["told"].count(".") == 1
