import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.counting import Counters
from masterflow.domain.event_text import event_text
from masterflow.domain.events import (
    AgentPerformanceMeasured,
    MetadataUpdated,
    UsageReported,
    new_event,
    parse_event,
)
from masterflow.domain.usage.amounts import NO_USAGE, Usage, nano_usd
from masterflow.domain.usage.budget import BUDGET_KEY, NO_BUDGET, budget_of, new_budget
from masterflow.domain.usage.prices import read_prices

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")


def reported(flow_id: UUID, *, agent: str = "a", model: str = "m", used: Usage) -> UsageReported:
    event = parse_event(
        json.loads(event_text(UsageReported, CONTEXT, flow_id, agent=agent, model=model, used=used))
    )
    assert isinstance(event, UsageReported)
    return event


def test_each_report_says_how_much_its_process_counted_of_the_agent_and_of_the_flow() -> None:
    flow, used = uuid4(), Usage(1, 33, 21, 4_950, 0)
    first, other, again = (reported(flow, agent=name, used=used) for name in ("a", "b", "a"))
    assert [event.counted.agent.calls for event in (first, other, again)] == [1, 1, 2]
    assert [event.counted.flow for event in (first, other, again)] == [
        used,
        used.plus(used),
        used.plus(used).plus(used),
    ]
    assert len({event.counted.by for event in (first, other, again)}) == 1


def test_no_amount_is_lost_or_added_twice_by_threads_that_add_at_once() -> None:
    counters, flow = Counters(), uuid4()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            sums = list(pool.map(lambda n: counters.add(flow, ("",), (1, n))[1][0], range(4_000)))
    finally:
        sys.setswitchinterval(interval)
    assert sorted(calls for calls, _ in sums) == list(range(1, 4_001))
    assert counters.total(flow, "") == (4_000, sum(range(4_000)))


def test_one_who_comes_in_between_adds_before() -> None:
    counters, flow = Counters(), uuid4()
    counters.add(flow, ("",), (1,))
    before = counters._young[flow].sums[""]._newest
    thread = threading.Thread(target=counters.add, args=(flow, ("",), (10,)))
    thread.start()
    thread.join()
    counters._young[flow].sums[""]._newest = before
    assert counters.total(flow, "") == (11,)
    assert counters.add(flow, ("",), (100,))[1] == [(111,)]


def test_a_flow_with_a_model_for_each_item_keeps_few_sums() -> None:
    counters, flow = Counters(), uuid4()
    by = {counters.add(flow, ("", f"agent {n}"), (1,))[0] for n in range(2_500)}
    assert len(by) == 3
    assert len(counters._young[flow].sums) <= 1_001


def test_usage_without_a_counter_is_no_event() -> None:
    with pytest.raises(InputInvalid, match="counted"):
        new_event(UsageReported, CONTEXT, uuid4(), agent="a", model="m", used=Usage(1, 0, 0, 0, 0))


@pytest.mark.parametrize("used", [(1, -1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0.5, 0), (10**16, 0, 0, 0, 0)])
def test_amounts_are_whole_and_not_negative(used: tuple[float, ...]) -> None:
    with pytest.raises(InputInvalid, match="used"):
        event_text(UsageReported, CONTEXT, uuid4(), agent="a", model="m", used=used)


def test_names_are_cut_and_never_empty_or_parted() -> None:
    flow, used = uuid4(), Usage(1, 0, 0, 0, 0)
    event = reported(flow, agent=" ", model="x\x1fy" + "é" * 300, used=used)
    assert event.agent == "unknown"
    assert event.model.startswith("x y")
    assert len(event.model) <= 80


def test_usage_of_ones_own_in_a_map_is_set_aside() -> None:
    metrics = new_event(AgentPerformanceMeasured, CONTEXT, uuid4(), metrics={"usage": 5, "a": 1}).metrics
    updates = new_event(MetadataUpdated, CONTEXT, uuid4(), updates={"usage": {"x": 1}}).updates
    assert metrics == {"reported_usage": 5, "a": 1}
    assert updates == {"reported_usage": {"x": 1}}


@given(st.integers(0, 10**15))
def test_dollars_are_billionths_without_rounding(nano: int) -> None:
    assert nano_usd(Decimal(nano).scaleb(-9)) == nano
    assert nano_usd(f"{Decimal(nano).scaleb(-9):f}") == nano


def test_a_tenth_of_a_dollar_ten_times_is_a_dollar() -> None:
    assert sum(nano_usd(0.1) for _ in range(10)) == nano_usd(1)


@pytest.mark.parametrize("usd", [-0.01, float("nan"), "inf", "five", 10**9])
def test_what_is_no_cost_is_refused(usd: float | str) -> None:
    with pytest.raises(InputInvalid, match="US dollars from 0"):
        nano_usd(usd)


def test_prices_are_exact_to_the_billionth() -> None:
    prices = read_prices('{"small": {"input": 0.15, "output": 0.6}, "free": {"input": 0, "output": 0}}')
    assert prices["small"].cost_nano_usd(33, 21) == 33 * 150 + 21 * 600
    assert prices["free"].cost_nano_usd(10**9, 1) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "the whole"),
        ('{"m": 5}', "m: "),
        ('{"m": {"input": 1}}', "m.output"),
        ('{"m": {"input": -1, "output": 1}}', "m.input"),
        ('{"m": {"input": 1, "output": 1, "outptu": 2}}', "m.outptu"),
    ],
)
def test_what_is_no_table_of_prices_is_refused_by_its_place(text: str, says: str) -> None:
    with pytest.raises(InputInvalid, match=says):
        read_prices(text)


def test_a_budget_is_exceeded_by_more_than_it_and_only_by_what_it_bounds() -> None:
    budget = new_budget("0.5", 100)
    used = NO_USAGE._replace(cost_nano_usd=500_000_000, input_tokens=60, output_tokens=40)
    assert not budget.is_exceeded_by(used)
    assert budget.is_exceeded_by(used._replace(output_tokens=41))
    assert budget.is_exceeded_by(used._replace(cost_nano_usd=500_000_001))
    assert not NO_BUDGET.is_exceeded_by(used._replace(calls=10**9))
    assert budget_of(budget.row_metadata()[BUDGET_KEY]) == budget


@pytest.mark.parametrize("found", [{}, {"usd": "5", "tokens": True}, {"usd": -1}, {"tokens": -5}])
def test_a_budget_that_others_wrote_badly_is_none(found: dict[str, object]) -> None:
    assert budget_of(found) == NO_BUDGET


@pytest.mark.parametrize("tokens", [-1, 1.5, True])
def test_what_are_no_tokens_is_refused(tokens: int) -> None:
    with pytest.raises(InputInvalid, match="no number of tokens"):
        new_budget(None, tokens)


def test_a_counter_belongs_to_whom_its_id_says() -> None:
    counted = {"by": "x", "agent": [1, 0, 0, 0, 0], "flow": [1, 0, 0, 0, 0]}
    with pytest.raises((InputInvalid, ValidationError)):
        new_event(
            UsageReported, CONTEXT, uuid4(), agent="a", model="m", used=(1, 0, 0, 0, 0), counted=counted
        )
