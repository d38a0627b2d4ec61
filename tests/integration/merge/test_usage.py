import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.counting import Counters
from masterflow.domain.events import AgentPerformanceMeasured, MetadataUpdated, UsageReported, new_event
from masterflow.domain.usage.amounts import Usage
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.status.manager import FlowStatusManager
from tests.support.events.flows import merged, new_context, new_flow

_CONTEXT = new_context()


@pytest.fixture
async def session(session_factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with session_factory() as session:
        yield session


def usage(
    counters: Counters, flow_id: UUID, used: Sequence[int], *, agent: str = "Schema Expert", model: str = "m"
) -> UsageReported:
    by, (flow, of_agent) = counters.add(flow_id, ("", f"{agent}\x1f{model}"), tuple(used))
    return new_event(
        UsageReported,
        _CONTEXT,
        flow_id,
        agent=agent,
        model=model,
        used=Usage(*used),
        counted={"by": by, "agent": of_agent, "flow": flow},
    )


async def test_usage_adds_up_per_agent_and_model_and_per_flow(session: AsyncSession) -> None:
    flow_id, counters = await new_flow(session, _CONTEXT), Counters()
    events = [usage(counters, flow_id, (1, 33, 21, 17_550, 0)) for _ in range(3)]
    events += [usage(counters, flow_id, (2, 5, 0, 0, 2), agent="Critic", model="local")]
    row = await merged(session, flow_id, events)
    assert row.agent_performance_metrics == {
        "usage": {
            "Schema Expert": {
                "m": {
                    "calls": 3,
                    "input_tokens": 99,
                    "output_tokens": 63,
                    "cost_usd": 0.00005265,
                    "unpriced_calls": 0,
                }
            },
            "Critic": {
                "local": {
                    "calls": 2,
                    "input_tokens": 5,
                    "output_tokens": 0,
                    "cost_usd": None,
                    "unpriced_calls": 2,
                }
            },
        }
    }
    assert row.flow_metadata["usage"] == {
        "calls": 5,
        "input_tokens": 104,
        "output_tokens": 63,
        "cost_usd": 0.00005265,
        "unpriced_calls": 2,
    }


async def test_repetitions_of_any_age_order_and_split_change_nothing(session: AsyncSession) -> None:
    flow_id, processes, random = await new_flow(session, _CONTEXT), [Counters() for _ in range(3)], Random(5)
    events = [
        usage(random.choice(processes), flow_id, (1, random.randrange(99), 7, random.randrange(10**6), 0))
        for _ in range(300)
    ]
    expected = [sum(parts) for parts in zip(*(event.used for event in events), strict=True)]
    repeated = [*events, *events]
    random.shuffle(repeated)
    row = await merged(session, flow_id, *(repeated[start : start + 41] for start in range(0, 600, 41)))
    shown = row.flow_metadata["usage"]
    assert [shown[name] for name in ("calls", "input_tokens", "output_tokens")] == expected[:3]
    # As the row has it: what reads it as a float comes close.
    exact = await session.scalar(
        text(
            "select flow_metadata #>> '{usage,cost_usd}'"
            " from migration.crewai_flow_state_extensions where flow_id = :id"
        ),
        {"id": flow_id},
    )
    assert Decimal(exact) == Decimal(expected[3]).scaleb(-9)


async def test_metrics_and_usage_of_an_agent_leave_each_other_alone(session: AsyncSession) -> None:
    flow_id, counters = await new_flow(session, _CONTEXT), Counters()
    tenant = (_CONTEXT.client_account_id, _CONTEXT.engagement_id, _CONTEXT.user_id)
    repository = CrewAIFlowStateExtensionsRepository(session, *tenant)
    await repository.update_agent_performance_metrics(flow_id, {"Schema Expert": {"tasks": 1}})
    await merged(session, flow_id, [usage(counters, flow_id, (1, 1, 1, 1, 0))])
    await repository.update_agent_performance_metrics(flow_id, {"Schema Expert": {"tasks": 2}, "usage": 5})
    many = {f"metric {number}": "x" * 3_000 for number in range(15)}
    for batch in range(8):
        named = {f"{name} {batch}": value for name, value in many.items()}
        await merged(
            session, flow_id, [new_event(AgentPerformanceMeasured, _CONTEXT, flow_id, metrics=named)]
        )
    row = await merged(session, flow_id, [usage(counters, flow_id, (1, 1, 1, 1, 0))])
    assert row.agent_performance_metrics["usage"]["Schema Expert"]["m"]["calls"] == 2
    row = await merged(
        session, flow_id, [new_event(AgentPerformanceMeasured, _CONTEXT, flow_id, metrics={"usage": 7})]
    )
    assert row.agent_performance_metrics["reported_usage"] == 7
    assert row.agent_performance_metrics["usage"]["Schema Expert"]["m"]["calls"] == 2


async def test_a_metadata_that_was_overwritten_whole_loses_no_usage(session: AsyncSession) -> None:
    flow_id, counters = await new_flow(session, _CONTEXT), Counters()
    events = [usage(counters, flow_id, (1, 10, 1, 5, 0), agent=name) for name in "abc"]
    await merged(session, flow_id, events)
    await session.execute(
        text(
            'update migration.crewai_flow_state_extensions set flow_metadata = \'{"owner": "ann"}\','
            " updated_at = clock_timestamp() where flow_id = :id"
        ),
        {"id": flow_id},
    )
    row = await merged(session, flow_id, events, [usage(counters, flow_id, (1, 10, 1, 5, 0))])
    assert row.flow_metadata["usage"]["calls"] == 4
    assert row.flow_metadata["usage"]["input_tokens"] == 40
    assert row.flow_metadata["owner"] == "ann"


async def test_past_its_bounds_a_row_says_at_least_and_keeps_the_flows_sum(session: AsyncSession) -> None:
    flow_id = await new_flow(session, _CONTEXT)
    processes = [Counters() for _ in range(17)]
    events = [usage(process, flow_id, (1, 1, 0, 0, 0)) for process in processes]
    row = await merged(session, flow_id, events)
    figures = row.agent_performance_metrics["usage"]["Schema Expert"]["m"]
    assert (figures["calls"], figures["at_least"]) == (16, True)
    assert row.flow_metadata["usage"]["calls"] == 17
    assert "at_least" not in row.flow_metadata["usage"]
    others = [usage(processes[0], flow_id, (1, 1, 0, 0, 0), model=f"m{n:02d}") for n in range(40)]
    row = await merged(session, flow_id, others)
    assert list(row.agent_performance_metrics["usage"]["Schema Expert"]) == [
        "m",
        *(f"m{n:02d}" for n in range(31)),
    ]
    assert row.flow_metadata["usage"]["calls"] == 57
    assert len(json.dumps(row.flow_metadata)) < 10_000


async def test_status_and_list_show_usage_and_an_exceeded_budget(session: AsyncSession) -> None:
    flow_id, counters = await new_flow(session, _CONTEXT), Counters()
    budget: dict[str, Any] = {"usage_budget": {"usd": 0.000005, "tokens": 1_000}}
    await merged(session, flow_id, [new_event(MetadataUpdated, _CONTEXT, flow_id, updates=budget)])
    manager = FlowStatusManager(session, _CONTEXT)
    status = await manager.get_flow_status(flow_id)
    assert status.usage is not None
    assert not status.is_over_budget
    assert (status.usage.calls, status.usage.budget_usd) == (0, 0.000005)
    await merged(session, flow_id, [usage(counters, flow_id, (1, 33, 21, 5_001, 0))])
    status = await manager.get_flow_status(flow_id)
    assert status.usage is not None
    assert status.is_over_budget
    assert status.usage.is_over_budget
    assert [(one.agent, one.model, one.calls, one.cost_usd) for one in status.usage.by_agent] == [
        ("Schema Expert", "m", 1, 0.000005001)
    ]
    assert [one.agent for one in status.usage.agents] == ["Schema Expert"]
    [listed] = [flow for flow in (await manager.list_flows()).flows if flow.flow_id == flow_id]
    assert listed.is_over_budget


@pytest.mark.parametrize(
    ("agents", "flow", "kept"),
    [
        ({"usage": 5}, {"usage": "much", "usage_budget": []}, (5, "much", None)),
        ({"usage": {"legacy": {"m": 7}}}, {"usage": {"legacy": [1]}}, ({"m": 7}, [1], None)),
        (
            ["odd"],
            {"usage": {"calls": 10**40, "legacy": 3}},
            (None, 3, {"agent_performance_metrics": ["odd"]}),
        ),
    ],
)
async def test_what_others_wrote_under_the_same_keys_stays_and_is_shown_without_failing(
    session: AsyncSession, agents: Any, flow: Any, kept: tuple[Any, Any, Any]
) -> None:
    flow_id = await new_flow(session, _CONTEXT, agent_performance_metrics=agents, flow_metadata=flow)
    manager = FlowStatusManager(session, _CONTEXT)
    await manager.get_flow_status(flow_id)
    row = await merged(session, flow_id, [usage(Counters(), flow_id, (1, 1, 1, 1, 0))])
    of_agents, of_flow = row.agent_performance_metrics["usage"], row.flow_metadata["usage"]
    assert of_agents["Schema Expert"]["m"]["calls"] == 1
    displaced = row.flow_metadata["_enrichment"].get("displaced")
    assert (of_agents.get("legacy"), of_flow.get("legacy"), displaced) == kept
    assert (await manager.get_flow_status(flow_id)).usage is not None
