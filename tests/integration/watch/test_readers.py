from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis

from masterflow.domain import FlowContext
from masterflow.domain.events import DeadlinePassed, PhaseTransitioned, StatusChanged, new_event
from masterflow.domain.life.deaths import lost_event
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.signs import OWN_FIELD, Held, own_text
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.repository.database import session_factory
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.redis.holders import _looks, read_liveness
from masterflow.repository.settings import RedisSettings
from masterflow.repository.status.control import read_control
from masterflow.repository.status.reads import FlowScope
from masterflow.repository.status.wanted import FlowFilter
from masterflow.repository.status.watched import count_life
from masterflow.status.manager import FlowStatusManager
from masterflow.status.summary.life import life_sentence
from tests.support.events.flows import new_context, new_flow
from tests.support.servers.databases import engine_for

CONTEXT = new_context()
HOLDER = "here-12-0123abcd"


@pytest.fixture
def signs(redis_url: str):
    redis: Any = Redis.from_url(redis_url, decode_responses=True)
    redis.delete(ALIVE_KEY)
    yield redis
    redis.delete(ALIVE_KEY)
    redis.close()


def give_sign(
    redis: Any, *flow_ids: UUID, age_s: float = 0.0, sender_id: str = HOLDER, context: FlowContext = CONTEXT
) -> None:
    held = {str(one): Held(HeldFlow(one, context, "discovery", 1), "data_import").text() for one in flow_ids}
    own = own_text(host="here", pid=12, moment=1, sequence=1)
    redis.hset(holds_key(sender_id), mapping={OWN_FIELD: own, **held})
    seconds, microseconds = redis.time()
    redis.zadd(ALIVE_KEY, {sender_id: seconds + microseconds / 1e6 - age_s})


def event(kind, flow_id: UUID, at: datetime, **fields: Any):
    return new_event(kind, CONTEXT, flow_id, occurred_at=at, **fields)


async def test_what_signs_and_rows_say_of_flows_is_told_in_list_and_status(  # noqa: PLR0915  one picture
    database_url, redis_url, signs
):
    now = datetime.now(UTC)
    ids = {
        name: uuid4()
        for name in ("alive", "silent", "lost", "nobody's", "waiting", "overdue", "twice", "claimed")
    }
    engine, link = engine_for(database_url), RedisLink(RedisSettings(redis_url=redis_url))
    from masterflow.repository.merge.merges import apply_events

    def lost(name: str, cause: Any = "witnessed"):
        held = HeldFlow(ids[name], CONTEXT, "discovery", 1)
        moment = int((now + timedelta(seconds=1)).timestamp() * 1e6)
        return lost_event(held, cause=cause, holder=HOLDER, moment=moment, phase="data_import")

    started = now - timedelta(hours=1)
    async with session_factory(engine).begin() as session:
        for flow_id in ids.values():
            await new_flow(session, CONTEXT, flow_id)
        events: list[Any] = [event(StatusChanged, one, now, status="processing") for one in ids.values()]
        events.append(event(StatusChanged, ids["waiting"], now + timedelta(seconds=2), status="paused"))
        events += [lost("lost"), lost("waiting"), lost("twice")]
        for phase in ("slow", "over"):
            events.append(event(PhaseTransitioned, ids["overdue"], started, phase=phase, status="processing"))
            events.append(
                event(DeadlinePassed, ids["overdue"], now, phase=phase, deadline_at=now, started_at=started)
            )
        events.append(event(PhaseTransitioned, ids["overdue"], now, phase="over", status="completed"))
        await apply_events(session, events)
    give_sign(signs, ids["alive"], ids["lost"], ids["waiting"])
    give_sign(signs, ids["silent"], age_s=30, sender_id="there-1-0123abcd")
    give_sign(signs, ids["twice"], sender_id="parent-1-0123abcd")
    give_sign(signs, ids["claimed"], sender_id="eve-1-0123abcd", context=new_context())
    async with session_factory(engine)() as session:
        manager = FlowStatusManager(session, CONTEXT, link)
        shown = {flow.flow_id: flow for flow in (await manager.list_flows()).flows}
        assert {name: shown[flow_id].liveness for name, flow_id in ids.items()} == {
            "alive": "alive",
            "silent": "silent",
            # Its holder is known to be dead, whatever its last sign says.
            "lost": "lost",
            "nobody's": None,
            "waiting": None,
            "overdue": None,
            "twice": "alive",
            # A process of another client account says that it holds it.
            "claimed": None,
        }
        assert shown[ids["silent"]].last_sign_age_s == pytest.approx(30, abs=5)
        assert [flow.flow_id for flow in shown.values() if flow.is_overdue] == [ids["overdue"]]

        async def found(**wanted: Any) -> set[UUID]:
            return {flow.flow_id for flow in (await manager.list_flows(FlowFilter(**wanted))).flows}

        assert await found(liveness=("silent",)) == {ids["silent"]}
        assert await found(is_overdue=True) == {ids["overdue"]}
        assert await found(liveness=("lost",)) == {ids["lost"]}
        assert await found(liveness=("lost", "silent")) == {ids["lost"], ids["silent"]}
        assert await found(liveness=("lost", "silent"), statuses=("paused",)) == set()
        status = await manager.get_flow_status(ids["overdue"])
        assert [late.phase for late in status.overdue] == ["slow"]
        assert life_sentence(await manager.get_flow_status(ids["lost"])).startswith(
            "Lost: its process was found dead on here, in data import; last heard of at "
        )
        # So do those who want something of it, who are refused by what is known of its holder.
        asked_of = await read_control(session, FlowScope.of(CONTEXT), [ids["lost"], ids["twice"]])
        assert {row["flow_id"]: await read_liveness(link, row) for row in asked_of} == {
            ids["lost"]: "lost",
            ids["twice"]: "alive",
        }
        signs.delete(ALIVE_KEY)
        _looks.clear()
        assert await found(liveness=("lost",)) == {ids["lost"], ids["twice"]}
    counted = await count_life(session_factory(engine), {ids["twice"]: "alive"})
    assert counted[0] >= 1
    assert counted[1] >= 1
    await link.close()
    await engine.dispose()
