"""Postgres, Redis and a worker as containers of one network, the worker from our own image."""

import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import docker
from pytest_celery import CeleryTestBroker, CeleryTestWorker, CeleryWorkerContainer, RedisContainer

from masterflow.scripts.supervise.ports import free_port
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import is_answering

_ROOT = Path(__file__).parents[3]
_TAG = "flow-enrichment:smoke-test"
_HARDENED = {
    "init": True,
    "read_only": True,
    "tmpfs": {"/tmp": ""},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


class GuardedRedis(RedisContainer):  # type: ignore[misc]  # it has no types
    """A Redis with a password, as pytest-celery knows it."""

    password = secrets.token_urlsafe(24)

    @classmethod
    def prefix(cls) -> str:
        """Return the beginning of its URL."""
        return f"redis://:{cls.password}@"

    @classmethod
    def command(cls, *_: str, **__: Any) -> list[str]:
        """Return a command as docker-compose.yml has it: append-only file, no eviction."""
        options = ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--requirepass", cls.password]
        return ["redis-server", *options]


class Yard:
    """The containers, as pytest-celery's nodes, and a workplace that reaches their servers."""

    def __init__(self, place: Workplace, worker: CeleryTestWorker, broker: CeleryTestBroker) -> None:
        self.place = place
        self.worker = worker
        self.broker = broker


@contextmanager
def built_yard(engine: docker.DockerClient, folder: Path) -> Iterator[Yard]:
    """Build the image, make the tables with it, and give a worker of it that is ready."""
    image, _ = engine.images.build(path=str(_ROOT), target="runtime", tag=_TAG, rm=True, network_mode="host")
    with ExitStack() as stack:
        network = engine.networks.create(f"enrichment-{uuid.uuid4().hex[:8]}")
        stack.callback(network.remove)
        run = _Runner(engine, network.name, stack)
        redis, redis_url = _redis(run)
        inside, outside = _postgres(run)
        run.once(image.id, ["flowctl", "init-db"], {"DATABASE_URL": inside})
        settings = {"DATABASE_URL": inside, "REDIS_URL": redis.celeryconfig["url"]}
        command = ["flowctl", "worker", "--concurrency=1"]
        worker = CeleryWorkerContainer(run.ours(image.id, command, settings))
        eventually(worker.ready, timeout_s=60)
        place = Workplace(folder, database_url=outside, redis_url=redis_url)
        yield Yard(place, CeleryTestWorker(worker, None), CeleryTestBroker(redis))
        place.remove()


def image_of(service: str) -> str:
    """Return the image that docker-compose.yml names for a service."""
    text = (_ROOT / "docker-compose.yml").read_text()
    found = re.search(rf"^  {service}:\n(?:    .*\n)*?    image: (\S+)$", text, re.MULTILINE)
    assert found, f"docker-compose.yml names no image of {service}"
    return found[1]


class _Runner:
    """Starts containers of one network, each removed at the end."""

    def __init__(self, engine: docker.DockerClient, network: str, stack: ExitStack) -> None:
        self._engine = engine
        self._network = network
        self._stack = stack

    def server(self, image: str, *, port: int, host_port: int, **options: Any) -> Any:
        """Return a server that only this host reaches, by a port that stays when it restarts."""
        return self._start(image, ports={f"{port}/tcp": ("127.0.0.1", host_port)}, **options)

    def ours(self, image: str, command: list[str], settings: dict[str, str]) -> Any:
        """Return a container of our image, as little privileged as in docker-compose.yml."""
        return self._start(image, command=command, environment=settings, **_HARDENED)

    def once(self, image: str, command: list[str], settings: dict[str, str]) -> None:
        """Run a command of our image to its end; it raises if that is not a good one."""
        options = {"environment": settings, "network": self._network, "remove": True, **_HARDENED}
        self._engine.containers.run(image, command, stderr=True, **options)

    def _start(self, image: str, **options: Any) -> Any:
        container = self._engine.containers.run(image, detach=True, network=self._network, **options)
        self._stack.callback(container.remove, force=True, v=True)
        return container


def _redis(run: _Runner) -> tuple[GuardedRedis, str]:
    """Start a Redis; return it and its `REDIS_URL` for this host.

    pytest-celery would tell another one where the tests run in a container themselves.
    """
    command, port = GuardedRedis.command(), free_port()
    redis = GuardedRedis(run.server(image_of("redis"), port=6379, host_port=port, command=command))
    eventually(redis.ready, timeout_s=60)
    return redis, f"{redis.prefix()}127.0.0.1:{port}/0"


def _postgres(run: _Runner) -> tuple[str, str]:
    """Start a Postgres; return its `DATABASE_URL` for containers, and for this host."""
    password, port = secrets.token_urlsafe(24), free_port()
    environment = {"POSTGRES_USER": "flows", "POSTGRES_PASSWORD": password}
    container = run.server(
        image_of("postgres"), port=5432, host_port=port, user="postgres", environment=environment
    )
    outside = f"postgresql://flows:{password}@127.0.0.1:{port}/flows"
    eventually(lambda: is_answering(outside), timeout_s=60)
    return f"postgresql+psycopg://flows:{password}@{container.short_id}/flows", outside
