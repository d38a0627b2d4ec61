"""What runs real flows of crewAI, in the environment that `scripts/environment.sh crewai` makes."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import DictRow

from masterflow.domain import flow_uuid
from tests.support.processes.workplace import Workplace

ROOT = Path(__file__).parents[3]

#: One process runs these, because importing crewAI takes 4 s; the fork comes last.
TOGETHER = (
    "sequence", "parallel", "cycle", "failing", "failing twice", "parallel failing", "paused", "asked",
    "crewed", "model down", "stopped", "told to stop", "text id", "threads", "slow listener",
    "removed handlers", "two tenants", "nested", "hand-wired", "forked",
)  # fmt: skip

Seen = dict[str, Any]


class Application:
    """A program that uses crewAI: what its user sees, and the rows that it fills."""

    def __init__(self, place: Workplace, environment: str) -> None:
        self.place = place
        self.python = ROOT / ".local" / environment / "bin" / "python"
        if not self.python.exists():
            missing = f"needs .local/{environment}: bash scripts/environment.sh {environment}"
            (pytest.fail if "CI" in os.environ else pytest.skip)(missing)

    def run(self, *scenarios: str, **settings: str) -> dict[str, Seen]:
        """Run scenarios in one process; return what each of them saw."""
        lines = self.say("-m", "tests.bridges.crewai.scenarios", *scenarios, **settings).splitlines()
        return {seen["scenario"]: seen for seen in map(json.loads, lines)}

    def run_file(self, program: Path) -> str:
        """Run a program, and return what it printed."""
        return self.say(str(program))

    def say(self, *arguments: str, **settings: str) -> str:
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=ROOT,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def row(self, flow_id: str) -> DictRow:
        return self.place.row(flow_uuid(flow_id))

    @property
    def environment(self) -> dict[str, str]:
        home = self.place.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **self.place.environment,
            "HOME": str(home),
            "ENRICHMENT_SPOOL_DIR": str(self.place.folder / "spool"),
            "CREWAI_DISABLE_TELEMETRY": "true",
            "CREWAI_DISABLE_VERSION_CHECK": "true",
            "CREWAI_TRACING_ENABLED": "false",
            "OPENAI_API_KEY": "none",
        }


@pytest.fixture(scope="session")
def application(workplace: Workplace) -> Application:
    return Application(workplace, "crewai")


@pytest.fixture(scope="session")
def seen(application: Application) -> dict[str, Seen]:
    """What the scenarios saw that one process runs."""
    return application.run(*TOGETHER)


@pytest.fixture(scope="session")
def row_of(application: Application, seen: dict[str, Seen]) -> Callable[[str], DictRow]:
    return lambda scenario: application.row(seen[scenario]["flow_id"])


@pytest.fixture(scope="session")
def resumed(application: Application, seen: dict[str, Seen]) -> tuple[DictRow, DictRow]:
    """The row of a flow that waits, and its row after another process has resumed it."""
    flow_id = seen["paused"]["flow_id"]
    before = application.row(flow_id)
    application.run("resumed", PAUSED_FLOW=flow_id)
    return before, application.row(flow_id)
