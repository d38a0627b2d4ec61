"""What happens to the servers of a run, for a while."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from redis import Redis

from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from masterflow.scripts.embedded.server import EmbeddedServer
from masterflow.tasks.queues import ENRICHMENT_QUEUE, queue
from tests.faults.harness.load import FLOWS, flow
from tests.faults.harness.scale import Scale
from tests.support.processes.workplace import Workplace

#: So soon after it is over, all workers have to consume again.
RECOVERY_S: Final = 10.0
_RECOVERY_FROM_POSTGRES_S: Final = 5.0

_TABLE: Final = "migration.crewai_flow_state_extensions"
_HINDER = f"""
create function hinder() returns trigger language plpgsql as 'begin perform pg_sleep(60); return new; end';
create trigger hinder before update on {_TABLE} for each row execute function hinder()
"""
_STOP_HINDERING: Final = "drop function hinder cascade"


@dataclass(frozen=True, slots=True)
class Harm:
    """What can happen to a server; it lasts between `with happens()` and the end of that."""

    name: str
    happens: Callable[[], AbstractContextManager[None]]
    lasts_s: float = 0.0
    within_s: float = RECOVERY_S


def redis_harms(place: Workplace, redis: EmbeddedRedis, scale: Scale) -> list[Harm]:
    """Return all that happens to Redis in one run."""
    killed = Harm("Redis killed", partial(_killed, redis), scale.seconds(1, 3))
    hangs_up = Harm("Redis hangs up", partial(_once, partial(_hang_up, place.redis)))
    return [
        *[killed] * scale.times(2, 5),
        Harm("Redis hangs", partial(_hanging, redis), scale.seconds(4, 20)),
        Harm("Redis emptied", partial(_once, place.redis.flushall)),
        *[hangs_up] * scale.times(3, 20),
    ]


def postgres_harms(place: Workplace, postgres: EmbeddedPostgres, scale: Scale, chance: Random) -> list[Harm]:
    """Return all that happens to Postgres in one run."""

    def harm(name: str, happens: Callable[[], AbstractContextManager[None]], lasts_s: float = 0) -> Harm:
        return Harm(f"Postgres {name}", happens, lasts_s, _RECOVERY_FROM_POSTGRES_S)

    crashes = harm("crashes", partial(_crashed, postgres))
    hangs_up = harm("ends all connections", partial(_once, partial(_end_connections, place)))
    return [
        *[crashes] * scale.times(2, 5),
        *[hangs_up] * scale.times(3, 10),
        harm("hangs", partial(_hanging, postgres), scale.seconds(4, 20)),
        harm("has a row locked", partial(_row_locked, place, chance), scale.seconds(4, 30)),
        harm("takes too long", partial(_hindered, place), scale.seconds(4, 10)),
    ]


def rabbitmq_harms(place: Workplace, rabbitmq: RabbitMQ, scale: Scale) -> list[Harm]:
    """Return all that happens to RabbitMQ in one run."""
    killed = Harm("RabbitMQ killed", partial(_killed, rabbitmq))
    end_connections = partial(rabbitmq.control, "close_all_connections", "a test")
    hangs_up = Harm("RabbitMQ hangs up", partial(_once, end_connections))
    return [
        *[killed] * scale.times(1, 5),
        Harm("RabbitMQ hangs", partial(_hanging, rabbitmq), scale.seconds(4, 20)),
        Harm("RabbitMQ emptied", partial(_once, partial(_purge, place))),
        *[hangs_up] * scale.times(2, 20),
    ]


@contextmanager
def _killed(server: EmbeddedServer) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def _hanging(server: EmbeddedServer) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


@contextmanager
def _crashed(postgres: EmbeddedPostgres) -> Iterator[None]:
    postgres.stop_immediate()
    yield
    postgres.start()


@contextmanager
def _once(happen: Callable[[], Any]) -> Iterator[None]:
    happen()
    yield


@contextmanager
def _row_locked(place: Workplace, chance: Random) -> Iterator[None]:
    _, flow_id = flow(chance.randrange(FLOWS))
    with closing(place.database()) as database, database.transaction():
        database.execute(f"select from {_TABLE} where flow_id = %s for update", [flow_id])
        yield


@contextmanager
def _hindered(place: Workplace) -> Iterator[None]:
    with closing(place.database()) as database:
        database.execute(_HINDER)
        yield
        database.execute(_STOP_HINDERING)


def _hang_up(redis: "Redis") -> None:
    for kind in ("normal", "pubsub"):
        redis.client_kill_filter(_type=kind)


def _end_connections(place: Workplace) -> None:
    with place.database() as database:
        database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )


def _purge(place: Workplace) -> None:
    with place.connection() as connection, connection.channel() as channel:
        queue(ENRICHMENT_QUEUE, place.settings.broker_url).bind(channel).purge()
