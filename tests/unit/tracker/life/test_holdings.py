import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from masterflow import tracker
from masterflow.domain.life.deaths import witnessed
from masterflow.domain.life.holding import HOLDING, HeldFlow, Holding, hold_line, moment_line, release_line
from masterflow.tracker.life.holdings import Holdings, process_holdings
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.tracker import FlowProgressTracker
from tests.support.events.reported import CONTEXT


@pytest.fixture
def spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    tracker.shutdown(0)
    process_holdings.renew()  # What other tests have left to the garbage collector.
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    # Nothing listens there: what is reported stays.
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    yield tmp_path / "spool"
    tracker.shutdown(0)


@pytest.fixture
def flow_id() -> UUID:
    return uuid4()


@pytest.fixture
def flow(spool: Path, flow_id: UUID) -> FlowProgressTracker:
    return FlowProgressTracker(flow_id, CONTEXT)


def held() -> set[UUID]:
    return set(process_holdings.now.flows())


def noted(spool: Path) -> Holding:
    [folder] = [one for one in spool.iterdir() if not one.name.startswith(".")]
    return Holding.read((folder / HOLDING).read_bytes())


def test_a_flow_is_held_inside_its_block_and_handed_over_behind_it(flow, flow_id):
    assert held() == set()
    with flow:
        assert held() == {flow_id}
        with flow:
            flow.start_phase("x")
            flow.complete_phase("x")
        assert held() == {flow_id}
    assert held() == set()


def test_a_flow_that_ends_inside_its_block_is_held_no_more(flow, flow_id):
    with flow:
        flow.start_phase("x")
        flow.complete_flow()
        assert held() == set()


def test_a_flow_that_waits_for_a_human_is_not_held_until_it_goes_on(flow, flow_id):
    with flow, tracker.phase("review"):
        flow.pause_for_user_input("May I?")
        assert held() == set()
        flow.resume_after_user_input()
        assert held() == {flow_id}


def test_a_failed_flow_is_held_again_once_it_is_retried(flow, flow_id):
    with flow:
        flow.start_phase("x")
        flow.fail_flow("no")
        assert held() == set()
        flow.start_phase("x")
        assert held() == {flow_id}


def test_an_open_attempt_holds_its_flow_behind_the_block(flow, flow_id):
    with flow:
        attempt = flow.begin("x")
    assert held() == {flow_id}
    attempt.end()
    assert held() == set()


def test_a_tracker_without_a_block_holds_its_flow_from_its_first_report_that_it_runs_until_its_end(
    flow, flow_id
):
    flow.report_agent_activity("a", "b")
    assert held() == set()
    flow.start_phase("x")
    flow.complete_phase("x")
    assert held() == {flow_id}
    flow.complete_flow()
    assert held() == set()


def test_a_tracker_that_is_no_more_holds_nothing(spool, flow_id):
    flow = FlowProgressTracker(flow_id, CONTEXT)
    flow.start_phase("x")
    assert held() == {flow_id}
    del flow
    gc.collect()
    assert held() == set()


def test_of_two_trackers_of_a_flow_the_last_one_lets_it_go(spool, flow_id):
    first, second = (FlowProgressTracker(flow_id, CONTEXT) for _ in range(2))
    with first:
        with second:
            pass
        assert held() == {flow_id}
    assert held() == set()
    assert noted(spool).flows == {}


def test_a_child_holds_only_what_it_begins_itself(flow, flow_id, spool):
    with flow:
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            seen = [len(held())]
            with tracker.phase("x"):
                seen.append(len(held()))
            seen.append(len(held()))
            os.write(write, json.dumps(seen).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert json.loads(os.read(read, 100)) == [0, 1, 0]
        assert held() == {flow_id}


def test_what_is_held_stands_in_the_folder_of_the_process_until_it_is_let_go(flow, flow_id, spool):
    with flow, tracker.phase("x"):
        [one] = noted(spool).flows.values()
        assert (one.flow_id, one.context) == (flow_id, CONTEXT)
    assert noted(spool).flows == {}


def test_phases_write_no_line_of_their_own(flow, spool):
    with flow:
        before = (next(spool.iterdir()) / HOLDING).read_bytes()
        for _ in range(10):
            with tracker.phase("x"):
                pass
        assert (next(spool.iterdir()) / HOLDING).read_bytes() == before


def test_the_file_of_many_flows_is_written_anew_only_once_it_has_grown_as_long_again(tmp_path):
    holdings, held, files = Holdings(), [], set()
    holdings.attach(tmp_path)
    for _ in range(500):
        held.append(FlowProgressTracker(uuid4(), CONTEXT).record.hold)
        holdings.hold(held[-1], HeldFlow(uuid4(), CONTEXT, None, 1))
    size = (tmp_path / HOLDING).stat().st_size
    sizes = []
    for _ in range(3 * size // len(moment_line(10**15, {}))):
        holdings.note_moment()
        status = (tmp_path / HOLDING).stat()
        files.add(status.st_ino)
        sizes.append(status.st_size)
    assert len(Holding.read((tmp_path / HOLDING).read_bytes()).flows) == 500
    assert max(sizes) < 2.1 * size
    assert 2 <= len(files) <= 4
    holdings.detach()


def test_a_folder_that_somebody_removed_is_noted_anew(flow, flow_id, spool):
    with flow:
        (next(spool.iterdir()) / HOLDING).unlink()
        process_holdings.now.note_moment()
        assert set(noted(spool).flows) == {flow_id}


def test_what_is_torn_or_malformed_in_the_file_costs_nothing_else():
    one, two = (HeldFlow(uuid4(), CONTEXT, "discovery", at) for at in (5, 6))
    text = b"".join(
        [
            hold_line(one),
            b"garbage\n",
            b'{"hold":["x"],"at":1}\n',
            hold_line(two),
            moment_line(9, {two.flow_id: 12}),
            release_line(one.flow_id, 10),
            hold_line(one)[:-20],
        ]
    )
    found = Holding.read(text)
    assert found.flows == {two.flow_id: two}
    assert found.last_moment(two.flow_id) == 12
    assert found.last_moment(uuid4()) == 9


def test_nothing_is_written_where_reports_stay_in_memory(told, spool, flow_id):
    with FlowProgressTracker(flow_id, CONTEXT), tracker.phase("x"):
        assert held() == {flow_id}
    assert not spool.exists()
    assert process_delivery._delivery is None


def test_a_process_that_ends_says_goodbye_to_what_it_holds(flow, flow_id, spool):
    flow.start_phase("x")
    tracker.shutdown(0)
    [folder] = [one for one in spool.iterdir() if not one.name.startswith(".")]
    records = b"".join(path.read_bytes() for path in folder.glob("*.log"))
    [told] = [json.loads(line[9:]) for line in records.splitlines() if b"flow_lost" in line]
    assert (told["cause"], told["flow_id"], told["holder"]) == ("goodbye", str(flow_id), folder.name)
    assert not (folder / HOLDING).exists()
    assert held() == set()
    flow.start_phase("y")
    assert held() == {flow_id}


def test_a_dead_process_tells_its_flows_behind_the_last_that_was_heard_of_them(flow, flow_id, spool):
    other = FlowProgressTracker(uuid4(), CONTEXT)
    with other:
        pass
    with flow, tracker.phase("x"):
        [folder] = [one for one in spool.iterdir() if not one.name.startswith(".")]
        [told] = witnessed(folder)
        seen = [path.read_bytes() for path in folder.glob("*.log")]
    reported = [json.loads(line[9:]) for text in seen for line in text.splitlines()]
    newest = max(one["occurred_at"] for one in reported if one["flow_id"] == str(flow_id))
    assert told.flow_id == flow_id
    assert told.occurred_at.isoformat() > newest.replace("Z", "+00:00")
    assert told.cause == "witnessed"
    assert witnessed(folder) == []
