"""The machine's Docker engine, if it has one."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import docker

from tests.support.servers.image import leave_out


@contextmanager
def docker_engine() -> Iterator[docker.DockerClient]:
    """Give the engine that the environment leads to; leave the test out if there is none."""
    scheme, _, path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    # Who names an engine elsewhere has one, and hears if it does not answer.
    if scheme == "unix" and not _is_served(path):
        leave_out("a Docker engine")
    with closing(docker.from_env(timeout=180)) as engine:
        yield engine


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
