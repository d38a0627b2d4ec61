"""The servers of the demo and the processes that work on them, each under a supervisor."""

import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from masterflow.domain import EnrichmentError, FlowContext
from masterflow.scripts import celery_commands
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.status.access.tokens import issue_token
from masterflow.status.settings import StatusSettings

_LOOPBACK: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 60.0
_TOKEN_LIFETIME_S: Final = 86_400.0
_LOG_TAIL_LINES: Final = 3


class ProcessNotReady(EnrichmentError):
    """A process of the demo does not come up, or has ended by itself."""


@contextmanager
def running_servers(folder: Path) -> Iterator[dict[str, str]]:
    """Give the settings that lead to Postgres and Redis: the environment's, or of embedded servers."""
    settings = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "REDIS_URL")}
    with ExitStack() as stack:
        if not settings["DATABASE_URL"]:
            settings["DATABASE_URL"] = stack.enter_context(EmbeddedPostgres(folder / "postgres")).url
        if not settings["REDIS_URL"]:
            settings["REDIS_URL"] = stack.enter_context(EmbeddedRedis(folder / "redis")).url
        yield settings


class Crew:
    """Worker, beat, Flower and the status page, each with a log in the folder; they stop together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, SupervisedProcess] = {}
        self._ports: list[int] = []
        #: Where people can look, by name.
        self.places: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(SupervisedProcess.stop, self._processes.values()))

    def start_celery(self) -> None:
        """Start worker, beat and Flower; none of them is ready yet."""
        port, password = free_port(), secrets.token_urlsafe(12)
        self._start("worker", celery_commands.worker("--concurrency=2", "--hostname=demo@%h"))
        self._start("beat", celery_commands.beat())
        flower = celery_commands.flower(address=_LOOPBACK, port=port)
        self._start("flower", flower, {"FLOWER_BASIC_AUTH": f"demo:{password}"})
        self._ports.append(port)
        self.places["Flower"] = f"http://{_LOOPBACK}:{port}\nuser demo, password {password}"

    def start_page(self, viewer: FlowContext) -> None:
        """Start the status page, and let one link sign in as the viewer."""
        port, code = free_port(), secrets.token_urlsafe(16)
        key = secrets.token_urlsafe(32)
        token = issue_token(
            StatusSettings.model_validate({"ENRICHMENT_JWT_KEY": key}),
            viewer.client_account_id,
            engagement_ids=[viewer.engagement_id],
            user_id=viewer.user_id,
            lifetime_s=_TOKEN_LIFETIME_S,
            may_control=True,
        )
        settings = {
            "ENRICHMENT_JWT_KEY": key,
            "ENRICHMENT_STATUS_SIGNIN_CODE": code,
            "ENRICHMENT_STATUS_SIGNIN_TOKEN": token,
            # Whoever has the terminal may open the link again, also in another browser.
            "ENRICHMENT_STATUS_SIGNIN_REUSABLE": "true",
        }
        self._start("status", [sys.executable, "-m", "masterflow.status", f"--port={port}"], settings)
        self._ports.append(port)
        self.places["Status page"] = f"http://{_LOOPBACK}:{port}/signin?code={code}"

    def check(self) -> None:
        """Make sure that all of them still run.

        Raises:
            ProcessNotReady: one does not; the message says how its log ends.
        """
        for name, process in self._processes.items():
            if not process.is_running:
                raise ProcessNotReady(f"{name} has ended by itself; {end_of(self._log(name))}")

    def wait_until_visible(self) -> None:
        """Wait until every page answers.

        Raises:
            ProcessNotReady: one does not.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not all(_answers(port) for port in self._ports):
            self.check()
            if time.monotonic() > deadline:
                raise ProcessNotReady(f"A page does not answer; the logs in {self._folder} may say why.")
            time.sleep(0.05)

    def _start(self, name: str, command: list[str], settings: Mapping[str, str] | None = None) -> None:
        log = self._log(name)
        log.unlink(missing_ok=True)
        environment = os.environ | (settings or {})
        self._processes[name] = SupervisedProcess(
            command, env=environment, folder=celery_commands.ROOT, log=log
        )

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def end_of(log: Path) -> str:
    """Return what a log says at its end, for a sentence."""
    tail = " ".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
    return f"{log} ends with: {tail}"


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_LOOPBACK, port)) == 0
