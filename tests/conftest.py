"""The servers that tests run on, a fresh database and Redis for each test, and markers by folder."""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import pytest
import redis
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from masterflow.repository.database import session_factory as make_session_factory
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.tracker.outbox.process import process_delivery
from tests.support.servers.databases import engine_for, fill_with_tables, temporary_database
from tests.support.servers.debian import installed_program
from tests.support.servers.image import name_what_was_left_out
from tests.support.servers.slots import free_slot

#: The application that takes us up has tests of its own, which run in its environment.
collect_ignore = ["application"]

_FOLDERS = ("unit", "simulation", "integration", "bridges", "faults", "acceptance", "browser")

# The servers may come from the environment, and no other setting of the machine reaches a test. They
# are kept under names of our own, for the processes that xdist starts after this one has read them.
_DATABASE_URL = os.environ.setdefault("TEST_DATABASE_URL", os.environ.get("DATABASE_URL", ""))
_REDIS_URL = os.environ.setdefault("TEST_REDIS_URL", os.environ.get("REDIS_URL", ""))
_SETTINGS = ("CELERY_", "DATABASE_", "ENRICHMENT_", "FLOWER_", "MASTER_STATE_", "PG", "REDIS_")
for _name in [name for name in os.environ if name.startswith(_SETTINGS)]:
    del os.environ[_name]

# Images of containers often set it, and then every process that a test starts compiles all it imports:
# 4 s of 6 where our wheel was just installed, and a third of what xdist's processes need to collect.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What a test reports or leaves without a word about where must reach no spool of the machine.
_SPOOL = tempfile.TemporaryDirectory(prefix="enrichment-tests-", ignore_cleanup_errors=True)
os.environ["XDG_STATE_HOME"] = _SPOOL.name  # where the default is

hypothesis.settings.register_profile(
    "house",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
# What a person runs after touching the merge, for half an hour: pytest --hypothesis-profile deep.
hypothesis.settings.register_profile("deep", hypothesis.settings.get_profile("house"), max_examples=20_000)
# Where only versions of libraries differ from another run.
hypothesis.settings.register_profile("few", hypothesis.settings.get_profile("house"), max_examples=10)
hypothesis.settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run those too that take long")
    parser.addoption("--soak", metavar="TIME", help="let the fault tests run for so long, for example 30m")
    parser.addoption("--seed", type=int, metavar="NUMBER", help="let the fault tests choose as they did then")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave all but the faults out of a soak before it is loaded, which takes longest."""
    above = Path(__file__).parent
    is_elsewhere = collection_path.parent == above and collection_path.name in {*_FOLDERS} - {"faults"}
    return True if config.getoption("--soak") and is_elsewhere else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        config.hook.pytest_deselected(items=[item for item in items if _folder(item) != "faults"])
        items[:] = [item for item in items if _folder(item) == "faults"]
    if not (config.getoption("--long") or config.getoption("--soak")):
        config.hook.pytest_deselected(items=[item for item in items if _is_long(item)])
        items[:] = [item for item in items if not _is_long(item)]
    for item in items:
        item.add_marker(_folder(item))
        if (together := _set_up_together(item)) and "PYTEST_XDIST_WORKER" in os.environ:
            _run_together(item, together)
    items.sort(key=lambda item: _FOLDERS.index(_folder(item)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    name_what_was_left_out(terminalreporter)


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


def _is_long(item: pytest.Item) -> bool:
    """Return whether a mark says so of this test, or of its parameters.

    `long("RabbitMQ")` is long on RabbitMQ only, `long(but=["RabbitMQ"])` on everything else.
    """
    parameters = f"-{call.id}-" if (call := getattr(item, "callspec", None)) else ""

    def has_one(ids: Iterable[str]) -> bool:
        return any(f"-{one}-" in parameters for one in ids)

    return any(
        has_one(mark.args) if mark.args else not has_one(mark.kwargs.get("but", ()))
        for mark in item.iter_markers("long")
    )


def _run_together(item: pytest.Item, name: str) -> None:
    """Let xdist hand out the tests of this name to one process.

    It reads the name from the node's id. xdist 3.8 writes the id where pytest kept it until 9.1, so that a
    mark of its own has no effect any more.
    """
    attribute = "_id" if hasattr(item, "_id") else "_nodeid"
    read = getattr(type(getattr(item, attribute)), "parse", str)
    setattr(item, attribute, read(f"{item.nodeid}@{name}"))


def _set_up_together(item: pytest.Item) -> str | None:
    """Return the name of the tests that one process of xdist runs, so that what they share is set up once."""
    if "wheel" in getattr(item, "fixturenames", ()):
        return "wheel"
    info = getattr(item, "_fixtureinfo", None)
    fixtures = info.name2fixturedefs.values() if info else ()
    is_of_a_file = any(fixture[-1].scope == "module" for fixture in fixtures)
    # Tests without I/O are too quick to be handed out one by one.
    return item.path.stem if is_of_a_file or _folder(item) == "unit" else None


@pytest.fixture(scope="session", autouse=True)
def _nobody_looks_out() -> None:
    """Let nothing be taken over by the process of the tests while they look at it."""
    process_delivery.rest()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def debian_package() -> Callable[[str, str], Path]:
    """What finds a program of a Debian package: `debian_package("rabbitmq-server", "rabbitmq-server")`."""
    return installed_program


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    with free_slot() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[str]:
    """The URL of a server to make databases on; it serves other tests too, so it is not to be stopped."""
    if _DATABASE_URL:
        yield _DATABASE_URL
        return
    template = server_folder / "template"
    with EmbeddedPostgres(server_folder / "postgres", durable=False, template=template) as server:
        yield server.url
    server.remove()


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[str]:
    """The URL of a Redis database to fill and empty; it serves other tests too, as above."""
    if _REDIS_URL:
        yield _database_of_this_process(_REDIS_URL)
        return
    with EmbeddedRedis(server_folder / "redis") as server:
        yield server.url
    server.remove()


def _database_of_this_process(url: str) -> str:
    """Return the URL of the named database, or of the n-th one after it for the n-th process of xdist."""
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0) + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    ours = parts._replace(path=f"/{number}").geturl()
    with redis.Redis.from_url(ours) as client:
        if client.dbsize():
            pytest.fail(
                f"Tests empty their Redis, and database {number} of REDIS_URL has data: name another one."
            )
    return ours


@pytest.fixture
def own_postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A durable server with our tables that a test may stop, kill, pause and restart."""
    folder = server_folder / f"postgres-{uuid.uuid4().hex}"
    with EmbeddedPostgres(folder, template=server_folder / "template") as server:
        fill_with_tables(server.url)
        yield server
    server.remove()


@pytest.fixture
def own_redis(server_folder: Path) -> Iterator[EmbeddedRedis]:
    """A server that a test may stop, kill, pause and restart."""
    with EmbeddedRedis(server_folder / f"redis-{uuid.uuid4().hex}") as server:
        yield server
    server.remove()


@pytest.fixture(scope="session")
def database_template(postgres_server: str) -> Iterator[str]:
    """The name of a database with our tables and nothing in them."""
    with temporary_database(postgres_server) as url:
        fill_with_tables(url)
        yield str(make_url(url).database)


@pytest.fixture
def database_url(postgres_server: str, database_template: str) -> Iterator[str]:
    """A `DATABASE_URL` with our tables, only for this test."""
    with temporary_database(postgres_server, template=database_template) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """A `REDIS_URL` that was empty at the start of this test."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
        yield redis_server
        client.flushdb()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_for(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def session_factory(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return make_session_factory(engine)
