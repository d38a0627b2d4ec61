"""A Sentinel that watches one Redis."""

from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import redis

from masterflow.scripts.embedded.redis import redis_program
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.eventually import eventually

GROUP = "flows"


class Sentinel:
    """Works from `with` on."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self._folder = folder
        self._master = urlsplit(redis_url)
        self._port = free_port()

    @property
    def url(self) -> str:
        """A `REDIS_URL` whose first Sentinel is away and whose second one is this; its group is `GROUP`."""
        address = f"sentinel://:{self._master.password}@127.0.0.1"
        return f"{address}:{free_port()}/0;{address}:{self._port}/0"

    def __enter__(self) -> Self:
        configuration = self._folder / "sentinel.conf"
        configuration.write_text(
            f"bind 127.0.0.1\nport {self._port}\ndir {self._folder}\n"
            f"sentinel monitor {GROUP} 127.0.0.1 {self._master.port} 1\n"
            f"sentinel auth-pass {GROUP} {self._master.password}\n"
        )
        command: list[str | Path] = [redis_program(), configuration, "--sentinel"]
        self._process = SupervisedProcess(command, folder=self._folder, log=self._folder / "sentinel.log")
        with redis.Redis(port=self._port) as client:
            eventually(lambda: _knows_master(client))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()


def _knows_master(client: "redis.Redis") -> bool:
    try:
        return b"flows" in str(client.execute_command("SENTINEL", "MASTERS")).encode()
    except redis.ConnectionError:
        return False
