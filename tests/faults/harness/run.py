"""One run: servers, two workers, orchestrators that report without a pause, faults, and the verdict."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from psycopg.rows import DictRow

from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.tasks.queues import ENRICHMENT_QUEUE, waiting
from tests.faults.harness.checker import Notes, Verdict, create_flows, judge
from tests.faults.harness.crew import START_TIMEOUT_S, Crew
from tests.faults.harness.harms import RECOVERY_S, Harm
from tests.faults.harness.measurements import Measurements
from tests.faults.harness.memory import peak_memory_mb
from tests.faults.harness.orchestrators import Orchestrators
from tests.faults.harness.scale import Scale
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

_ORCHESTRATORS: Final = 2

Choice = TypeVar("Choice")

_DELIVERY_TIMEOUT_S: Final = 90.0
_QUIET_S: Final = 3.0


class Run:
    """A workplace under load, to which faults happen; the rows are judged at the end."""

    def __init__(
        self,
        place: Workplace,
        scale: Scale,
        measurements: Measurements,
        orchestrator_settings: Mapping[str, str],
    ) -> None:
        self.place = place
        self.scale = scale
        self.measurements = measurements
        self.chance = Random(scale.seed)
        self.orchestrators = Orchestrators(
            place, self.chance, orchestrator_settings, rate=scale.rate / _ORCHESTRATORS
        )
        asyncio.run(create_flows(place.environment["DATABASE_URL"]))
        self.crew = Crew(place)

    def begin(self) -> None:
        """Put it under load."""
        for _ in range(_ORCHESTRATORS):
            self.orchestrators.start()
        eventually(self.crew.all_consume_again(), timeout_s=START_TIMEOUT_S)

    # -- faults

    def shuffled(self, faults: Sequence[Choice]) -> list[Choice]:
        """Return these in the order that the seed chooses."""
        return self.chance.sample(faults, len(faults))

    def suffer(self, harms: Sequence[Harm], meanwhile: Callable[[], object] = lambda: None) -> None:
        """Let these happen one after the other, in the order that the seed chooses."""
        for harm in self.shuffled(harms):
            with self.fault(harm.name, within_s=harm.within_s), harm.happens():
                meanwhile()
                time.sleep(harm.lasts_s)

    @contextmanager
    def fault(self, name: str, *, within_s: float = RECOVERY_S, times: int = 1) -> Iterator[None]:
        """Give a fault; once it is over, all workers have to consume and to commit within that time."""
        yield
        over, is_recovered = time.time(), self.crew.all_consume_again()
        self.place.redis.connection_pool.disconnect()  # They may be dead.
        eventually(lambda: is_recovered() and self.newest_commit() > over, timeout_s=within_s)
        self.measurements.note(name, time.time() - over, times=times)
        self._measure_memory()

    def newest_commit(self) -> float:
        """When a worker wrote into a row last, in seconds since 1970."""
        query = "select extract(epoch from max(updated_at)) as at from migration.crewai_flow_state_extensions"
        with self.place.database() as database:
            [row] = database.execute(query).fetchall()
        return float(row["at"])

    # -- the end

    def finish(self) -> Verdict:
        """Deliver everything and return what the checker says."""
        self.deliver()
        return self.judge()

    def deliver(self, within_s: float = _DELIVERY_TIMEOUT_S) -> None:
        """Report enough, and wait until every event is confirmed and every copy of it merged."""
        eventually(lambda: self.orchestrators.accepted >= self.scale.events, timeout_s=240, interval_s=0.1)
        self.orchestrators.stop_reporting()
        eventually(self._is_delivered, timeout_s=within_s, interval_s=0.1)
        self.drain()
        self._measure_memory()

    def wait_until_nothing_happens(self) -> None:
        """Wait until workers have merged all that will ever come without a resend."""
        self.drain()
        eventually(
            lambda: time.time() - self.newest_commit() > _QUIET_S and self.waiting() == 0, timeout_s=60
        )

    def drain(self) -> None:
        """Wait until the queue is empty, with what killed workers held given back to it now."""
        self.pass_the_visibility_timeout()
        eventually(lambda: self.waiting() == 0, timeout_s=_DELIVERY_TIMEOUT_S, interval_s=0.1)

    def notes(self) -> Notes:
        """What the orchestrators noted so far."""
        notes = self.orchestrators.notes()
        self.measurements.events = len(notes.accepted)
        return notes

    def rows(self) -> list[DictRow]:
        with self.place.database() as database:
            return database.execute("select * from migration.crewai_flow_state_extensions").fetchall()

    def judge(self) -> Verdict:
        self.measurements.verdict = asyncio.run(judge(self.place.environment["DATABASE_URL"], self.notes()))
        return self.measurements.verdict

    def pass_the_visibility_timeout(self) -> None:
        """Let workers find that whoever holds a message has held it for too long."""
        index = f"{KEY_PREFIX}unacked_index"
        held: dict[Any, float] = dict.fromkeys(self.place.redis.zrange(index, 0, -1), 0)
        if held:
            self.place.redis.zadd(index, held, xx=True)

    def waiting(self) -> int:
        """How many messages are in the queue or in a worker's hands; RabbitMQ does not tell of the latter."""
        with self.place.connection() as connection:
            in_queue = waiting(connection, ENRICHMENT_QUEUE)
        return in_queue + self.held()

    def held(self) -> int:
        """How many messages workers hold."""
        redis: Any = self.place.redis
        return int(redis.hlen(f"{KEY_PREFIX}unacked"))

    def close(self) -> None:
        self.crew.stop()
        self.orchestrators.stop()

    def _is_delivered(self) -> bool:
        spool = Path(self.place.environment["ENRICHMENT_SPOOL_DIR"])
        try:
            return not any(segment.stat().st_size for segment in spool.glob("*/*.log"))
        except FileNotFoundError:
            return False

    @property
    def processes(self) -> list[SupervisedProcess]:
        """All workers and orchestrators."""
        workers, orchestrators = self.crew.workers, self.orchestrators.living
        return [*(each.process for each in workers), *(each.process for each in orchestrators)]

    def _measure_memory(self) -> None:
        peaks = [peak_memory_mb(process.pid) for process in self.processes]
        self.measurements.peak_memory_mb = max(self.measurements.peak_memory_mb, *peaks)
