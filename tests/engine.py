"""The machine's Docker engine, if it has one."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import docker
from docker.errors import DockerException

from tests.image import leave_out


@contextmanager
def docker_engine() -> Iterator[docker.DockerClient]:
    """Give the engine that the environment leads to; leave the test out if none answers."""
    try:
        engine = docker.from_env(timeout=180)
        engine.ping()
    except DockerException:
        leave_out("a Docker engine")
    with closing(engine):
        yield engine
