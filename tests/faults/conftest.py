"""Runs to which faults happen, again and again with --soak, and a table of what they found."""

import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.embedded.rabbitmq import RabbitMQ
from tests.faults.harness.load import ACCOUNTS
from tests.faults.harness.measurements import Measurements, table
from tests.faults.harness.run import Run
from tests.faults.harness.scale import Scale
from tests.support.processes.workplace import Workplace
from tests.support.servers.guarded import RoleUsers, new_keys
from tests.support.servers.limited import overstepped

_UNITS = {"s": 1, "m": 60, "h": 3600}
_SHORTEST_ROUND_S = 300
_TIMEOUT_S, _SOAK_TIMEOUT_S = 300, 1800

# Without --soak, a test that does not say otherwise runs on Redis only.
_BROKERS = ("redis", "rabbitmq")

_measurements = pytest.StashKey[list[Measurements]]()
_first_seed = pytest.StashKey[int]()
_soak_until = pytest.StashKey[float]()
_left_out = pytest.StashKey[int]()
_told = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    seed = config.getoption("--seed")
    config.stash[_first_seed] = secrets.randbelow(10**6) if seed is None else seed
    config.stash[_soak_until] = time.monotonic() + _soak_s(config)
    config.stash[_measurements] = []
    config.stash[_left_out] = 0
    config.stash[_told] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round_number" in metafunc.fixturenames:
        rounds = range(1 + int(_soak_s(metafunc.config)) // _SHORTEST_ROUND_S)
        metafunc.parametrize("round_number", rounds, ids=[f"round{number}" for number in rounds])
        metafunc.parametrize("broker", _brokers_of(metafunc))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_turn_of)
    if not config.getoption("--soak"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("soak")])
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    timeout_s = _SOAK_TIMEOUT_S if config.getoption("--soak") else _TIMEOUT_S
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.timeout(timeout_s))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Leave out what is beyond the short form once the time is over."""
    is_late = _turn_of(item) > 0 and time.monotonic() > item.config.stash[_soak_until]
    item.config.stash[_left_out] += is_late
    return True if is_late else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if measurements := config.stash[_measurements]:
        terminalreporter.section("faults")
        for line in table(measurements):
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"To choose the same faults again: --seed {measurements[0].seed}")
    for line in config.stash[_told]:
        terminalreporter.write_line(line)
    if left_out := config.stash[_left_out]:
        terminalreporter.write_line(f"For {left_out} more runs there was no time.")


def _soak_s(config: pytest.Config) -> float:
    text = config.getoption("--soak")
    if text is None:
        return 0
    if not (found := re.fullmatch(r"(\d+)([smh])", text)):
        raise pytest.UsageError("--soak takes a time such as 90s, 30m or 2h.")
    return int(found[1]) * _UNITS[found[2]]


def _brokers_of(metafunc: pytest.Metafunc) -> tuple[str, ...]:
    marker = metafunc.definition.get_closest_marker("brokers")
    if marker is not None:
        return marker.args
    return _BROKERS if metafunc.config.getoption("--soak") else _BROKERS[:1]


def _turn_of(item: pytest.Item) -> int:
    """Return 0 for what the short form has too, and otherwise a number that rises with the rounds."""
    if item.get_closest_marker("soak"):
        return 1
    call = getattr(item, "callspec", None)
    if call is None or "round_number" not in call.params:
        return 0
    is_extra = item.get_closest_marker("brokers") is None and call.params["broker"] != _BROKERS[0]
    return int(2 * call.params["round_number"] + is_extra)


@pytest.fixture
def role_users() -> RoleUsers:
    return RoleUsers()


@pytest.fixture
def own_redis(server_folder: Path, role_users: RoleUsers) -> Iterator[EmbeddedRedis]:
    """A server that a test may stop, kill, pause and restart, with a user for each role."""
    folder = server_folder / f"redis-{uuid.uuid4().hex}"
    with EmbeddedRedis(folder, users=role_users.acl_lines()) as server:
        yield server
        assert overstepped(server.url) == set()
    server.remove()


@pytest.fixture
def rabbitmq(server_folder: Path, debian_package: Callable[[str, str], Path]) -> Iterator[RabbitMQ]:
    debian_package("rabbitmq-server", "rabbitmq-server")
    with RabbitMQ(server_folder / f"rabbitmq-{uuid.uuid4().hex}") as server:
        yield server
    server.remove()


@pytest.fixture
def broker_settings(broker: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """What lets a run use that broker."""
    return {} if broker == "redis" else {"CELERY_BROKER_URL": request.getfixturevalue(broker).url}


@pytest.fixture
def scale(pytestconfig: pytest.Config, round_number: int) -> Scale:
    return Scale(pytestconfig.stash[_first_seed] + round_number, is_soak=_soak_s(pytestconfig) > 0)


@pytest.fixture
def start_run(
    request: pytest.FixtureRequest,
    scale: Scale,
    own_postgres: EmbeddedPostgres,
    own_redis: EmbeddedRedis,
    role_users: RoleUsers,
    server_folder: Path,
    broker_settings: dict[str, str],
) -> Iterator[Callable[..., Run]]:
    """What starts a run with these settings, keys and a user for each role, on servers it may stop."""
    folder = server_folder / f"run-{uuid.uuid4().hex}"
    usual = {
        "ENRICHMENT_CONFIRM_TIMEOUT_S": "1",
        "ENRICHMENT_LOCK_TIMEOUT_S": "1",
        "ENRICHMENT_STATEMENT_TIMEOUT_S": "3",
        "ENRICHMENT_SPOOL_DIR": str(folder / "spool"),
        **new_keys(ACCOUNTS),
        **broker_settings,
    }
    roles = {role: it | broker_settings for role, it in role_users.settings(own_redis.url).items()}
    with ExitStack() as stack:

        def start(orchestrator_settings: Mapping[str, str] = {}, **settings: str) -> Run:
            place = Workplace(
                folder, database_url=own_postgres.url, redis_url=own_redis.url, **(usual | settings)
            )
            place.roles = roles
            stack.callback(place.remove)
            title = request.node.originalname.removeprefix("test_").replace("_", " ")
            measurements = Measurements(title, scale.seed)
            request.config.stash[_measurements].append(measurements)
            run = stack.enter_context(closing(Run(place, scale, measurements, orchestrator_settings)))
            run.begin()
            return run

        yield start


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """What says at the end what a long test has found."""
    return pytestconfig.stash[_told].append


@pytest.fixture
def run(start_run: Callable[..., Run]) -> Run:
    return start_run()
