"""What a flow's user sees while something of ours is broken: nothing."""

import pytest

pytestmark = pytest.mark.timeout(240)

FLOWS = ("sequence", "failing", "parallel")


@pytest.fixture(scope="module")
def well(seen):
    """What users see of these flows when all is well."""
    return {name: seen[name] for name in FLOWS}


def assert_as_well(found, well):
    for name in FLOWS:
        for what in ("result", "error", "is_same_error"):
            assert found[name][what] == well[name][what]
    # Two branches that sleep for 0.2 s, and what crewAI needs around them.
    assert found["parallel"]["took_s"] < well["parallel"]["took_s"] + 1


@pytest.mark.long
def test_a_broker_that_is_away_changes_no_result_and_what_was_told_waits(application, well, tmp_path):
    found = application.run(
        *FLOWS, REDIS_URL="redis://127.0.0.1:1/0", ENRICHMENT_SPOOL_DIR=str(tmp_path / "spool"), FLUSH_S="0.5"
    )
    assert_as_well(found, well)
    assert not found["parallel"]["is_flushed"]
    assert found["parallel"]["pending"] > 20
    assert found["parallel"]["lost"] == {}


@pytest.mark.long
def test_a_disk_that_takes_nothing_changes_no_result_and_every_loss_is_counted(application, well, tmp_path):
    (tmp_path / "spool").write_text("no folder\n")
    found = application.run(*FLOWS, ENRICHMENT_SPOOL_DIR=str(tmp_path / "spool"), FLUSH_S="0.5")
    assert_as_well(found, well)
    assert found["parallel"]["lost"]["disk"] > 20
    assert found["parallel"]["pending"] == 0


def test_handlers_that_raise_what_ends_a_process_change_no_result_and_are_counted(application):
    found = application.run("broken bridge", "sequence")
    assert found["broken bridge"]["result"] == found["sequence"]["result"] == "2"
    assert found["broken bridge"]["lost"]["bridge"] == 6
    assert application.place.find_row(found["broken bridge"]["flow_id"]) is None
    assert application.row(found["sequence"]["flow_id"])["flow_status"] == "completed"
