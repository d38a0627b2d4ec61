"""Which kickoffs hold their flows in this process, from recorded streams of real flows."""

import gc
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import pytest

from masterflow.bridges.crewai.consumer import Consumer
from masterflow.bridges.crewai.fold import Fold, Rules, Standing
from masterflow.bridges.crewai.records import Record, from_lines
from masterflow.domain.clock import from_microseconds
from masterflow.tracker.life.holdings import process_holdings
from tests.support.events.flows import new_context
from tests.support.pages import ROOT

FOLDER = ROOT / "tests" / "recorded" / "crewai"
STREAMS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
CONTEXT = new_context()


@pytest.fixture(autouse=True)
def _nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    process_holdings.renew()
    monkeypatch.setattr("masterflow.bridges.crewai.consumer.report", lambda *_, **__: None)
    monkeypatch.setattr(process_holdings, "begin", lambda: None)
    yield
    process_holdings.renew()


def recorded(stream: str) -> list[Record]:
    records = from_lines((FOLDER / f"{stream}.jsonl").read_text().splitlines(), CONTEXT)
    return sorted(records, key=lambda record: record.at)


def standings(records: Iterable[Record]) -> dict[str, list[Standing]]:
    """Return how it stood with each kickoff after each record."""
    fold, found = Fold(Rules(), source="one process"), dict[str, list[Standing]]()
    for record in records:
        fold.take(record, 0.0)
        for _, one in fold.reports(0.0):
            if isinstance(one, Standing):
                found.setdefault(one.kickoff, []).append(one)
    return found


class Listener:
    """A consumer, given records one at a time."""

    def __init__(self) -> None:
        self.over: list[str] = []
        self.consumer = Consumer(Rules(), end=self.over.append)

    def hear(self, records: Iterable[Record]) -> None:
        for one in records:
            at = from_microseconds(one.at)
            place = (one.parent_id, one.started_id, one.sequence)
            self.consumer.put((one.kind, one.event_id, at, *place, dict(one.facts)))
        self.consumer.flush(0)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(Consumer, "_begin", lambda _: None)
    listener = Listener()
    yield listener
    listener.consumer.stop()


def held() -> dict[str, Any]:
    """Return what a sign would tell of the flows that are held."""
    return {
        str(flow_id): json.loads(holder.sign(flow).text())
        for flow_id, (flow, holder) in process_holdings.now.flows().items()
        if holder
    }


@pytest.mark.parametrize("stream", STREAMS)
def test_each_kickoff_runs_from_its_start_and_no_longer_than_to_its_end(stream):
    for seen in standings(recorded(stream)).values():
        assert seen[0].is_running
        assert seen[-1].is_over
        assert not seen[-1].is_running


def test_a_flow_that_waits_for_a_human_does_not_run_meanwhile():
    [seen] = standings(recorded("asked")).values()
    running = [one.is_running for one in seen]
    changes = [one for one, former in zip(running, [None, *running], strict=False) if one is not former]
    assert changes == [True, False, True, False]


@pytest.mark.parametrize("stream", STREAMS)
def test_no_flow_stays_held_when_its_stream_is_over(stream, listener):
    listener.hear(recorded(stream))
    assert held() == {}
    assert set(listener.over) == set(standings(recorded(stream)))


def test_a_flow_whose_end_is_never_told_stays_held_with_the_phase_it_is_in(listener):
    records = recorded("sequence")
    second = next(at for at, one in enumerate(records) if one.facts.get("method") == "b")
    listener.hear(records[: second + 1])
    [(flow_id, sign)] = held().items()
    assert UUID(flow_id) == UUID(str(records[0].facts["flow_id"]))
    assert sign["client_account_id"] == str(CONTEXT.client_account_id)
    assert (sign["phase"], list(sign["phases"]), sign["flow_type"]) == ("b", ["b"], "discovery")
    assert listener.over == []


def test_a_flow_that_pauses_is_held_by_whoever_resumes_it(listener):
    listener.hear(recorded("paused"))
    assert held() == {}
    resumed = recorded("resumed")
    listener.hear(resumed[: len(resumed) // 2])
    assert len(held()) == 1


def test_a_flow_goes_on_being_held_after_everything_was_let_go(listener):
    records = recorded("sequence")
    listener.hear(records[:2])
    process_holdings.now.let_go()
    assert held() == {}
    listener.hear(records[2:4])
    assert len(held()) == 1


def test_who_listens_no_more_holds_nothing(listener):
    listener.hear(recorded("sequence")[:3])
    assert len(held()) == 1
    listener.consumer.stop()
    gc.collect()
    assert held() == {}


def test_a_flow_of_another_process_is_not_held_in_a_forked_child(listener):
    listener.hear(recorded("sequence")[:3])
    child = os.fork()
    if child == 0:
        os._exit(len(held()))
    assert os.waitpid(child, 0)[1] == 0
