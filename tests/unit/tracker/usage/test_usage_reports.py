import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from masterflow.domain import InputInvalid
from masterflow.domain.events import MetadataUpdated, UsageReported
from masterflow.domain.usage.amounts import Usage
from masterflow.tracker import create_progress_tracker, current_flow, phase
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.usage import prices
from tests.support.events.reported import CONTEXT

pytestmark = pytest.mark.usefixtures("quiet_losses")


@pytest.fixture(autouse=True)
def price_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"small": {"input": 0.15, "output": 0.6}}))
    monkeypatch.setenv("ENRICHMENT_PRICES", str(path))
    prices.cache_clear()
    yield path
    prices.cache_clear()


def used(told: Any) -> list[Usage]:
    return [event.used for event in told.of(UsageReported)]


async def test_usage_is_told_in_plain_code_in_a_phase_and_awaited(told):
    with create_progress_tracker(uuid4(), CONTEXT) as tracker, phase("mapping"):
        tracker.report_usage(agent="Expert", model="m", input_tokens=33, output_tokens=21, cost_usd=0.1)
        await current_flow().report_usage(agent="Expert", model="m", cost_usd="0.000000001", calls=2)
        await asyncio.create_task(tracker.report_usage(agent="Critic", model="m", cost_usd=0))
    assert used(told) == [(1, 33, 21, 10**8, 0), (2, 0, 0, 1, 0), (1, 0, 0, 0, 0)]
    assert told.of(UsageReported)[-1].counted.flow == (4, 33, 21, 10**8 + 1, 0)


def test_a_cost_that_nobody_says_comes_from_the_table_or_is_unknown(told):
    tracker = create_progress_tracker(uuid4(), CONTEXT)
    tracker.report_usage(agent="a", model="small", input_tokens=33, output_tokens=21)
    tracker.report_usage(agent="a", model="another", input_tokens=33, output_tokens=21, calls=3)
    tracker.report_usage(agent="a", model="small", input_tokens=33, output_tokens=21, cost_usd=0)
    assert used(told) == [(1, 33, 21, 17_550, 0), (3, 33, 21, 0, 3), (1, 33, 21, 0, 0)]


@pytest.mark.parametrize("content", [None, "{", '{"small": 5}'])
def test_without_a_table_that_can_be_read_costs_are_unknown_and_the_log_says_so(
    told, price_table, caplog, content
):
    price_table.unlink()
    if content is not None:
        price_table.write_text(content)
    process_delivery.losses.log._logged_at.clear()
    with caplog.at_level(logging.WARNING):
        create_progress_tracker(uuid4(), CONTEXT).report_usage(agent="a", model="small")
    assert used(told) == [(1, 0, 0, 0, 1)]
    assert "ENRICHMENT_PRICES" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"calls": 0}, {"calls": 1.5}, {"input_tokens": -1}, {"cost_usd": -1}, {"cost_usd": "much"}]
)
def test_nonsense_is_refused_and_fails_no_flow(told, monkeypatch, wrong):
    tracker = create_progress_tracker(uuid4(), CONTEXT)
    tracker.report_usage(agent="a", model="m", **wrong)
    assert used(told) == []
    monkeypatch.setattr(type(process_delivery), "is_strict", True)
    with pytest.raises(InputInvalid):
        tracker.report_usage(agent="a", model="m", **wrong)


def test_a_flow_is_over_budget_by_what_all_its_trackers_here_have_told(told):
    flow_id = uuid4()
    tracker = create_progress_tracker(flow_id, CONTEXT, budget_usd=0.5, budget_tokens=1_000)
    assert [event.updates for event in told.of(MetadataUpdated)] == [
        {"usage_budget": {"usd": 0.5, "tokens": 1_000}}
    ]
    tracker.report_usage(agent="a", model="m", input_tokens=600, output_tokens=400, cost_usd=0.5)
    before = tracker.over_budget
    create_progress_tracker(flow_id, CONTEXT).report_usage(agent="b", model="m", output_tokens=1)
    assert (before, tracker.over_budget) == (False, True)
    assert not create_progress_tracker(flow_id, CONTEXT).over_budget


def test_a_budget_that_is_none_is_refused_and_the_flow_has_none(told):
    tracker = create_progress_tracker(uuid4(), CONTEXT, budget_usd="much")
    tracker.report_usage(agent="a", model="m", cost_usd=1_000)
    assert not tracker.over_budget
    assert told.of(MetadataUpdated) == []


def test_a_flow_without_an_id_is_not_over_budget(told):
    assert not create_progress_tracker("", CONTEXT, budget_tokens=0).over_budget
