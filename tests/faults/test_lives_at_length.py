"""Hundreds of flows while their processes, the servers, the network and clocks fail: who is called lost.

Left out without --soak; all of it: `./scripts/test --soak 30m tests/faults/test_lives_at_length.py`.
"""

import signal
import time
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import make_url

from masterflow.domain.liveness import Liveness
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.faults.harness.flocks import CLOCK_BACK, CLOCK_FORWARD, Flock, Flocks, flows_of
from tests.faults.harness.lookout import Lookout
from tests.support.processes.workplace import Workplace
from tests.support.servers.partition import Partition, partition

pytestmark = pytest.mark.soak

_PAUSE_S = 60.0
_PARTITION_S = 300.0
_START_S = 90.0
#: So soon after a fault is over, all that was silent is alive: signs are given every 5 s.
_BACK_S = 30.0

_WITNESSED_S, _SILENT_S = 15.0, 20.0
_SOON_LOST_S = 30


class Stage:
    """Servers, a worker and beat, flocks, and a lookout; `cut` is a way to Redis that can be cut."""

    def __init__(
        self, place: Workplace, worker: SupervisedProcess, beat: SupervisedProcess, lookout: Lookout,
        flocks: Flocks, cut: Partition, folder: Path,
    ) -> None:  # fmt: skip
        self.place, self.worker, self.beat = place, worker, beat
        self.lookout, self.flocks, self.cut = lookout, flocks, cut
        self._folder = folder

    @property
    def cut_url(self) -> str:
        """The address of Redis on the other side of the cut."""
        url = make_url(self.place.environment["REDIS_URL"]).set(port=self.cut.port)
        return url.render_as_string(hide_password=False)

    def spool(self, name: str) -> Path:
        """Return a folder for outboxes; the worker looks after the one without a name."""
        return self._folder / f"spool-{name}"

    def gather(self, count: int, flows: int, redis_url: str = "") -> list[Flock]:
        """Start processes, every other one beside the worker and the others each for itself."""
        number = len(self.flocks.all)
        return [
            self.flocks.start(flows, self.spool("" if one % 2 else str(one)), redis_url)
            for one in range(number, number + count)
        ]

    def look_until_all(self, said: Liveness, flow_ids: Set[UUID], *, within_s: float) -> float:
        """Look until all of these are said to be so; return for how long that took."""
        lookout = self.lookout
        return lookout.look_until(lambda: lookout.are_all(said, flow_ids), within_s=within_s)

    def expect_all_alive(self, within_s: float = _BACK_S) -> float:
        """Look until every flow that is expected to live is alive; return for how long that took."""
        return self.look_until_all("alive", self.lookout.living, within_s=within_s)


@pytest.fixture
def stage(
    own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, tmp_path: Path
) -> Iterator[Callable[..., Stage]]:
    """What sets the stage, with these settings of worker and beat."""
    with ExitStack() as stack:

        def set_stage(**settings: str) -> Stage:
            spool = str(tmp_path / "spool-")
            place = Workplace(
                tmp_path / "place", database_url=own_postgres.url, redis_url=own_redis.url,
                ENRICHMENT_SPOOL_DIR=spool, **settings,
            )  # fmt: skip
            stack.callback(place.remove)
            worker = stack.enter_context(place.worker("--concurrency", "2"))
            beat = stack.enter_context(place.celery("beat"))
            flocks = Flocks(place)
            stack.callback(flocks.stop)
            lookout = stack.enter_context(Lookout(own_postgres.url, own_redis.url, flocks.context))
            cut = stack.enter_context(partition(make_url(own_redis.url).port or 0))
            return Stage(place, worker, beat, lookout, flocks, cut, tmp_path)

        yield set_stage


def test_fifty_orchestrators_killed_at_random_lose_their_flows_and_no_others_do(  # noqa: PLR0915  one picture
    stage: Callable[..., Stage], pytestconfig: pytest.Config, tell: Callable[[str], None]
) -> None:
    chance = Random(pytestconfig.getoption("--seed") or 17)
    here = stage()
    lookout = here.lookout
    # Nobody kills this one, which sees what happens to others of its spool.
    onlooker = here.flocks.start(4, here.spool("shared"))
    living = [onlooker, *here.gather(16, 4), *(here.flocks.start(4, here.spool("shared")) for _ in range(4))]
    witnessed_s: list[float] = []
    silent_s: list[float] = []
    for _ in range(5):
        lookout.expect_life(living)
        here.expect_all_alive(_START_S)
        died_at: dict[Flock, float] = {}
        for victim in chance.sample([one for one in living if one is not onlooker], 10):
            lookout.look_for(chance.uniform(0, 1))
            lookout.expect_life(one for one in living if one not in died_at and one is not victim)
            victim.process.signal(signal.SIGKILL)
            died_at[victim] = time.monotonic()
        while died_at:
            lookout.look()
            for victim, at in [*died_at.items()]:
                took_s = time.monotonic() - at
                has_witness = victim.spool in {here.spool(""), onlooker.spool}
                within_s = _WITNESSED_S if has_witness else _SILENT_S
                if lookout.are_all("lost" if has_witness else "silent", victim.flow_ids):
                    (witnessed_s if has_witness else silent_s).append(took_s)
                    living.remove(victim)
                    del died_at[victim]
                assert took_s < within_s or victim not in died_at, f"{lookout.summary()} after {within_s} s"
            time.sleep(0.1)
        tell(f"{len(witnessed_s)} lost and {len(silent_s)} silent so far: {lookout.summary()}")
        living += here.gather(8, 4)
        living += [here.flocks.start(4, here.spool("shared")) for _ in range(2)]
    tell(
        f"{len(witnessed_s)} witnessed, at the latest after {max(witnessed_s):.1f} s, and {len(silent_s)}"
        f" silent, at the latest after {max(silent_s):.1f} s"
    )
    assert len(witnessed_s) + len(silent_s) == 50
    assert lookout.false_lost == 0


def test_pauses_of_a_minute_stepping_clocks_and_an_emptied_redis_lose_no_flow(
    stage: Callable[..., Stage], own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis,
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    here = stage()
    lookout = here.lookout
    flocks = here.gather(12, 50)
    lookout.expect_life(flocks)
    here.expect_all_alive(_START_S)

    def pause(name: str, *processes: SupervisedProcess | EmbeddedPostgres | EmbeddedRedis) -> None:
        for each in processes:
            each.pause()
        # Nobody can look while Postgres stands still.
        time.sleep(_PAUSE_S) if own_postgres in processes else lookout.look_for(_PAUSE_S)
        for each in processes:
            each.resume()
        tell(f"{name} back after {here.expect_all_alive():.1f} s: {lookout.summary()}")

    pause("Half of the orchestrators stopped for 60 s,", *(one.process for one in flocks[:6]))
    pause("The worker stopped for 60 s,", here.worker)
    pause("Beat stopped for 60 s,", here.beat)
    pause("Redis stopped for 60 s,", own_redis)
    pause("Postgres stopped for 60 s,", own_postgres)
    for number, flock in enumerate(flocks[:8]):
        flock.process.signal(CLOCK_BACK if number % 2 else CLOCK_FORWARD)
    lookout.look_for(_PAUSE_S)
    tell(f"Clocks stepped by an hour, back after {here.expect_all_alive():.1f} s: {lookout.summary()}")
    here.place.redis.flushall()
    tell(f"Redis emptied, back after {here.expect_all_alive():.1f} s: {lookout.summary()}")
    own_redis.kill()
    own_redis.start()
    tell(f"Redis restarted, back after {here.expect_all_alive():.1f} s: {lookout.summary()}")
    lookout.look_for(_BACK_S)
    assert lookout.false_lost == 0
    assert lookout.checks >= 100_000


def test_a_partition_of_five_minutes_loses_no_flow(
    stage: Callable[..., Stage], tell: Callable[[str], None]
) -> None:
    here = stage()
    lookout = here.lookout
    cut_off = here.gather(6, 50, here.cut_url)
    lookout.expect_life([*cut_off, *here.gather(6, 50)])
    here.expect_all_alive(_START_S)
    here.cut.cut()
    lookout.look_for(_PARTITION_S)
    assert lookout.are_all("silent", flows_of(cut_off)), lookout.summary()
    here.cut.heal()
    tell(f"Cut off for 300 s, back after {here.expect_all_alive():.1f} s: {lookout.summary()}")
    lookout.look_for(_BACK_S)
    assert lookout.false_lost == 0
    assert lookout.checks >= 100_000


def test_every_flow_that_silence_made_lost_heals_when_its_process_is_back(
    stage: Callable[..., Stage], tell: Callable[[str], None]
) -> None:
    here = stage(ENRICHMENT_LOST_AFTER_S=str(_SOON_LOST_S))
    lookout = here.lookout
    cut_off, stopped = here.gather(4, 50, here.cut_url), here.gather(4, 50)
    untouched = here.gather(4, 50)
    everybody = [*cut_off, *stopped, *untouched]
    lookout.expect_life(everybody)
    here.expect_all_alive(_START_S)
    for number in range(2):
        lookout.expect_life(untouched)
        here.cut.cut()
        for flock in stopped:
            flock.process.pause()
        away = flows_of([*cut_off, *stopped])
        lost_s = here.look_until_all("lost", away, within_s=3 * _SOON_LOST_S)
        if number:
            for flock in cut_off[::2]:
                flock.process.signal(CLOCK_BACK)
        here.cut.heal()
        for flock in stopped:
            flock.process.resume()
        healed_s = here.look_until_all("alive", flows_of(everybody), within_s=_BACK_S)
        tell(
            f"{len(away)} flows lost after {lost_s:.1f} s of silence, all alive {healed_s:.1f} s after it:"
            f" {lookout.summary()}"
        )
    lookout.expect_life(everybody)
    lookout.look_for(_SOON_LOST_S)
    assert lookout.false_lost == 0
