import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from masterflow.domain import FlowContext
from masterflow.domain.clock import stamp_of, to_microseconds
from masterflow.domain.counting import Counted, Counters
from masterflow.domain.event_text import event_text
from masterflow.domain.events import FlowRetried, PhaseTimed

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")


def counted(kind: type[Any], flow_id: UUID, **fields: Any) -> Any:
    return json.loads(event_text(kind, CONTEXT, flow_id, **fields))["counted"]


def test_a_process_numbers_the_retries_of_a_flow_and_the_attempts_of_each_of_its_phases() -> None:
    flow = uuid4()
    retries = [counted(FlowRetried, flow) for _ in range(3)]
    attempts = [
        counted(PhaseTimed, flow, phase=name, execution_time_ms=1) for name in ("import", " import", "check")
    ]
    assert [each["number"] for each in retries + attempts] == [1, 2, 3, 1, 2, 1]
    assert len({each["by"] for each in retries + attempts}) == 1
    assert counted(FlowRetried, uuid4())["by"] != retries[0]["by"]


def test_a_report_that_brings_its_id_or_time_has_no_number() -> None:
    assert counted(FlowRetried, uuid4(), event_id=uuid4()) is None
    assert counted(FlowRetried, uuid4(), occurred_at=datetime(2026, 11, 1, tzinfo=UTC)) is None


def test_no_number_is_given_twice_by_many_threads() -> None:
    counters, flow = Counters(), uuid4()
    with ThreadPoolExecutor(8) as pool:
        given_out = list(pool.map(lambda _: counters.number(flow, "retries"), range(4_000)))
    assert len({(each.by, each.number) for each in given_out}) == 4_000


def test_a_flow_that_fell_out_gets_a_new_counter() -> None:
    counters, flow = Counters(), uuid4()
    first = counters.number(flow, "retries")
    for _ in range(12_000):
        counters.number(uuid4(), "retries")
    again = counters.number(flow, "retries")
    assert again.number == 1
    assert again.by != first.by
    assert len(counters._young) + len(counters._old) <= 10_000


def test_a_flow_that_is_counted_now_and_then_keeps_its_counter() -> None:
    counters, flow = Counters(), uuid4()
    first = counters.number(flow, "retries")
    for _ in range(12):
        for _ in range(1_000):
            counters.number(uuid4(), "retries")
        assert counters.number(flow, "retries").by == first.by


def test_a_flow_with_a_phase_for_each_item_keeps_few_numbers() -> None:
    counters, flow = Counters(), uuid4()
    given_out = [counters.number(flow, f"attempts:item {n}") for n in range(2_500)]
    assert len({each.by for each in given_out}) == 3
    assert len(counters._young[flow].numbers) <= 1_000


def test_a_forked_process_has_counters_of_its_own() -> None:
    counters, flow = Counters(), uuid4()
    mine = counters.number(flow, "retries")
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.write(write, counters.number(flow, "retries").model_dump_json().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    its = Counted.model_validate_json(os.read(read, 200))
    assert its.number == 1
    assert its.by != mine.by


@pytest.mark.parametrize("by", ["", "short", "x" * 23, "a b c d e f", 'q"uotes"""'])
def test_a_counter_has_a_short_plain_id(by: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Counted).validate_python({"by": by, "number": 1})


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2))
def test_stamps_sort_as_the_times_they_stand_for(times: list[datetime]) -> None:
    stamps = [stamp_of(to_microseconds(at), UUID(int=0)) for at in times]
    assert {len(stamp) for stamp in stamps} == {48}
    assert sorted(stamps) == [stamp_of(to_microseconds(at), UUID(int=0)) for at in sorted(times)]


def test_stamps_at_the_edges_sort_too() -> None:
    edges = [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1970, 1, 1, tzinfo=UTC)]
    edges += [datetime(2286, 11, 20, 17, 46, 39, 999_999, UTC)]
    edges += [edges[-1] + timedelta(microseconds=1)]
    stamps = [stamp_of(to_microseconds(at), UUID(int=0)) for at in edges]
    assert stamps == sorted(stamps)
