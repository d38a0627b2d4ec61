"""Runs to which faults happen, again and again with --soak, and a table of what they found."""

import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.faults.findings import Findings, table
from tests.faults.run import Run
from tests.faults.scale import Scale
from tests.workplace import Workplace

_UNITS = {"s": 1, "m": 60, "h": 3600}
_SHORTEST_ROUND_S = 60
_SOAK_TIMEOUT_S = 900

_findings = pytest.StashKey[list[Findings]]()
_first_seed = pytest.StashKey[int]()
_soak_until = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    seed = config.getoption("--seed")
    config.stash[_first_seed] = secrets.randbelow(10**6) if seed is None else seed
    config.stash[_soak_until] = time.monotonic() + _soak_s(config)
    config.stash[_findings] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round_number" in metafunc.fixturenames:
        rounds = range(1 + int(_soak_s(metafunc.config)) // _SHORTEST_ROUND_S)
        metafunc.parametrize("round_number", rounds, ids=[f"round{number}" for number in rounds])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_round_of)
    if config.getoption("--soak"):
        for item in items:
            item.add_marker(pytest.mark.timeout(_SOAK_TIMEOUT_S))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Leave out the rounds for which there is no time."""
    is_late = _round_of(item) > 0 and time.monotonic() > item.config.stash[_soak_until]
    return True if is_late else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if findings := config.stash[_findings]:
        terminalreporter.section("faults")
        for line in table(findings):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"To choose the same faults again: --seed {findings[0].seed}")


def _soak_s(config: pytest.Config) -> float:
    text = config.getoption("--soak")
    if text is None:
        return 0
    if not (found := re.fullmatch(r"(\d+)([smh])", text)):
        raise pytest.UsageError("--soak takes a time such as 90s, 30m or 2h.")
    return int(found[1]) * _UNITS[found[2]]


def _round_of(item: pytest.Item) -> int:
    call = getattr(item, "callspec", None)
    return int(call.params.get("round_number", 0)) if call else 0


@pytest.fixture
def scale(pytestconfig: pytest.Config, round_number: int) -> Scale:
    return Scale(pytestconfig.stash[_first_seed] + round_number, is_soak=_soak_s(pytestconfig) > 0)


@pytest.fixture
def start_run(
    request: pytest.FixtureRequest,
    scale: Scale,
    own_postgres: EmbeddedPostgres,
    own_redis: EmbeddedRedis,
    server_folder: Path,
) -> Iterator[Callable[..., Run]]:
    """What starts a run with these settings on servers that the test may stop."""
    folder = server_folder / f"run-{uuid.uuid4().hex}"
    usual = {
        "ENRICHMENT_CONFIRM_TIMEOUT_S": "1",
        "ENRICHMENT_LOCK_TIMEOUT_S": "1",
        "ENRICHMENT_SPOOL_DIR": str(folder / "spool"),
    }
    with ExitStack() as stack:

        def start(orchestrator_settings: Mapping[str, str] = {}, **settings: str) -> Run:
            place = Workplace(
                folder, database_url=own_postgres.url, redis_url=own_redis.url, **(usual | settings)
            )
            stack.callback(place.remove)
            findings = Findings(request.node.originalname, scale.seed)
            request.config.stash[_findings].append(findings)
            run = stack.enter_context(closing(Run(place, scale, findings)))
            run.begin(orchestrator_settings)
            return run

        yield start


@pytest.fixture
def run(start_run: Callable[..., Run]) -> Run:
    return start_run()
