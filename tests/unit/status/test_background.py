import asyncio
import logging
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from masterflow.domain import DatabaseUnavailable, FlowContext
from masterflow.repository.status.reads import FlowScope
from masterflow.status.live.background import BackgroundTask
from masterflow.status.live.changes import ChangeFeed
from masterflow.status.live.listeners import Listener
from tests.support.events.flows import new_context

pytestmark = pytest.mark.anyio


class Turns:
    """Turns that end as they are told to, and the pauses between them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: Exception | float) -> None:
        self.pauses: list[float] = []
        self.problems: list[str | None] = []
        self.told: list[Exception | None] = []
        self._ends = list(ends)
        self.task = BackgroundTask("The work", self.turn, when_told=self.told.append)
        monkeypatch.setattr(asyncio, "sleep", self.pause)

    async def turn(self) -> float:
        end = self._ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.problems.append(self.task.problem)
        if not self._ends:
            raise asyncio.CancelledError


async def test_a_task_that_fails_in_any_way_is_logged_and_goes_on_later_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    turns = Turns(monkeypatch, 0.2, KeyError("x"), RecursionError(), ValueError(), 0.2, KeyError("x"))
    with caplog.at_level(logging.ERROR), pytest.raises(asyncio.CancelledError):
        await turns.task.run()
    assert turns.pauses == [0.2, 1.0, 2.0, 4.0, 0.2, 1.0]
    assert [problem is not None for problem in turns.problems] == [False, True, True, True, False, True]
    assert "KeyError" in str(turns.problems[1])
    assert [record.exc_info is not None for record in caplog.records] == [True] * 4
    assert [type(error) for error in turns.told][:3] == [type(None), KeyError, RecursionError]


async def test_what_will_pass_is_tried_again_at_once_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(monkeypatch, *[DatabaseUnavailable("Postgres is away.")] * 5)
    with pytest.raises(asyncio.CancelledError):
        await turns.task.run()
    assert turns.pauses == [1.0] * 5
    assert set(turns.problems) == {"Postgres is away."}


async def test_a_task_with_nothing_to_do_sleeps_until_it_is_woken_and_no_wake_is_lost() -> None:
    turns, went_on = 0, asyncio.Event()

    async def turn() -> None:
        nonlocal turns
        turns += 1
        went_on.set()
        if turns == 2:
            task.wake()

    task = BackgroundTask("The work", turn)
    running = task.start()
    await went_on.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert turns == 1
    task.wake()
    for _ in range(20):
        await asyncio.sleep(0)
    assert turns == 3
    running.cancel()


async def test_the_look_for_changes_sleeps_while_nobody_listens() -> None:

    looks = 0

    def sessions() -> None:
        nonlocal looks
        looks += 1
        raise DatabaseUnavailable("Postgres is away.")

    feed = ChangeFeed(sessions, most=1, most_per_account=1)  # type: ignore[arg-type]
    assert await feed._turn() is None
    polling = feed.polling.start()
    await asyncio.sleep(0)
    assert (looks, feed.polling.problem) == (0, None)
    feed._watch.begin(new_context().client_account_id, now=datetime.now(UTC), open_flows=[], known={})
    feed.polling.wake()
    for _ in range(20):
        await asyncio.sleep(0)
    assert looks == 1
    polling.cancel()


async def test_a_task_that_has_ended_is_a_problem() -> None:
    async def turn() -> float:
        return 60.0

    task = BackgroundTask("The work", turn)
    running = task.start()
    assert task.problem is None
    running.cancel()
    await asyncio.wait([running])
    assert "has ended" in str(task.problem)


async def test_streams_are_told_when_the_look_for_changes_fails() -> None:
    context: FlowContext = new_context()

    def sessions() -> None:
        raise KeyError("a column that one of three files forgot")

    feed = ChangeFeed(sessions, most=1, most_per_account=1)  # type: ignore[arg-type]
    feed._watch.begin(context.client_account_id, now=datetime.now(UTC), open_flows=[], known={})
    listener = Listener(FlowScope(context.client_account_id, frozenset({uuid4()})))
    feed._listeners.add(listener)
    polling = feed.polling.start()
    [notice] = await listener.told()
    assert b"unavailable" in notice.text
    assert feed.polling.problem
    assert not polling.done()
    polling.cancel()
