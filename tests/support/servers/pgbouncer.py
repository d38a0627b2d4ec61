"""A pgbouncer of Debian's package, in transaction mode, before one database."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url

from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.eventually import eventually
from tests.support.servers.databases import is_answering
from tests.support.servers.debian import installed_program

_CONFIGURATION = """\
[databases]
flows = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
{user}
"""


@contextmanager
def pgbouncer_before(database_url: str, folder: Path) -> Iterator[str]:
    """Give the URL of a pgbouncer that has two connections to the database for all its clients."""
    program, port = installed_program("pgbouncer", "pgbouncer"), free_port()
    user = "user = nobody" if os.geteuid() == 0 else ""
    configuration = folder / "pgbouncer.ini"
    server = _server_of(make_url(database_url))
    configuration.write_text(_CONFIGURATION.format(server=server, port=port, user=user))
    url = f"postgresql://anyone@127.0.0.1:{port}/flows"
    with SupervisedProcess([program, configuration], log=folder / "pgbouncer.log"):
        eventually(lambda: is_answering(url))
        yield url


def _server_of(url: URL) -> str:
    parts = {
        "host": url.host or url.query.get("host"),
        "port": url.port,
        "dbname": url.database,
        "user": url.username,
        "password": url.password,
    }
    return " ".join(f"{name}='{value}'" for name, value in parts.items() if value)
