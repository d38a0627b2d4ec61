"""Looks at many flows again and again, as API and watch do, and counts what it is told of them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from masterflow.domain import FlowContext, TransientError
from masterflow.domain.liveness import Liveness
from masterflow.repository.database import session_factory
from masterflow.repository.redis.client import RedisLink
from masterflow.repository.settings import RedisSettings
from masterflow.repository.status.watched import read_watched
from masterflow.status.manager import FlowStatusManager
from tests.faults.harness.flocks import Flock, flows_of
from tests.support.servers.databases import engine_for

_PAGE: Final = 200
_BETWEEN_LOOKS_S: Final = 0.3


class Lookout:
    """Tells what is said of flows; a flow-check is one look at one flow by list and row."""

    def __init__(self, database_url: str, redis_url: str, context: FlowContext) -> None:
        self._runner = asyncio.Runner()
        self._engine = engine_for(database_url)
        self._sessions = session_factory(self._engine)
        self._link = RedisLink(RedisSettings(redis_url=redis_url))
        self._context = context
        #: Flows of which nobody may say that they are lost.
        self.living: set[UUID] = set()
        #: How many looks at a living flow there were.
        self.checks = 0
        #: Each look that found a living flow lost, by the list or by its row.
        self.false_lost = 0
        #: How many looks failed because a server was away.
        self.failed_looks = 0
        #: What the last look found.
        self.liveness: dict[UUID, Liveness | None] = {}
        self.lost_rows: set[UUID] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._link.close())
        self._runner.run(self._engine.dispose())
        self._runner.close()

    def expect_life(self, flocks: Iterable[Flock]) -> None:
        """Let no flow of these, and of these alone, be called lost from now on."""
        self.living = flows_of([*flocks])

    def look(self) -> bool:
        """Look at all flows once; return whether the servers answered."""
        living = set(self.living)
        try:
            self._runner.run(self._look())
        except TransientError:
            self.failed_looks += 1
            return False
        self.checks += len(living & self.liveness.keys())
        called_lost = {one for one, said in self.liveness.items() if said == "lost"} | self.lost_rows
        self.false_lost += len(living & called_lost)
        return True

    def look_for(self, seconds: float) -> None:
        """Look again and again for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            time.sleep(_BETWEEN_LOOKS_S)

    def look_until(self, is_so: Callable[[], bool], *, within_s: float) -> float:
        """Look until something is so; return after how many seconds, or fail after the deadline."""
        started = time.monotonic()
        while not (self.look() and is_so()):
            assert time.monotonic() < started + within_s, f"{self.summary()} after {within_s} s"
            time.sleep(_BETWEEN_LOOKS_S)
        return time.monotonic() - started

    def are_all(self, said: Liveness, flow_ids: Iterable[UUID]) -> bool:
        """Return whether the last look found all of these so, and the lost ones lost in their rows."""
        return all(
            self.liveness.get(one) == said and (one in self.lost_rows) is (said == "lost") for one in flow_ids
        )

    def summary(self) -> str:
        """Return in a line what was found."""
        said = [*self.liveness.values()]
        counts = ", ".join(f"{said.count(one)} {one}" for one in dict.fromkeys(said))
        return (
            f"{self.checks:,} flow-checks, {self.false_lost} false lost, {self.failed_looks} looks without"
            f" an answer; at last {counts}, {len(self.lost_rows)} rows lost"
        )

    async def _look(self) -> None:
        liveness: dict[UUID, Liveness | None] = {}
        async with self._sessions() as session:
            manager, cursor = FlowStatusManager(session, self._context, self._link), None
            while True:
                page = await manager.list_flows(cursor=cursor, limit=_PAGE)
                liveness |= {flow.flow_id: flow.liveness for flow in page.flows}
                if (cursor := page.next_cursor) is None:
                    break
        rows = await read_watched(self._sessions, [*liveness])
        self.liveness = liveness
        self.lost_rows = {flow_id for flow_id, row in rows.items() if row["is_lost"]}
