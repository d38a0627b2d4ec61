"""A Redis on a Unix socket, of password `pw`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from masterflow.scripts.embedded.redis import redis_program
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.eventually import eventually


@contextmanager
def socket_redis() -> Iterator[Path]:
    """Give the socket's path, with a blank and an accent in it."""
    # The path of a socket has about 100 characters at most, and pytest's folders have more.
    with tempfile.TemporaryDirectory(prefix="ré dis ") as folder:
        path = Path(folder) / "r.sock"
        command: list[str | Path] = [redis_program(), "--unixsocket", path, "--requirepass", "pw"]
        command += ["--port", str(free_port()), "--appendonly", "yes"]
        with SupervisedProcess(command, folder=Path(folder)):
            eventually(path.exists)
            yield path
