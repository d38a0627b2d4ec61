"""A browser, a status page for it to look at, and axe-core to look at the page."""

import asyncio
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from masterflow.domain import FlowContext
from masterflow.repository.database import session_factory
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions
from tests.support.processes.status_site import StatusSite
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import engine_for, fill_with_tables

_AXE: str = "axe-core-4.14.1"
_CACHE = Path(__file__).parents[2] / ".local" / "npm"
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Work = Callable[[Sessions], Coroutine[Any, Any, Any]]


def elsewhere(work: Callable[[], Any]) -> Any:
    """Do something in another thread: in this one Playwright's own event loop runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.fixture(scope="session")
def browser(debian_package: Callable[[str, str], Path]) -> Iterator[Browser]:
    chromium = debian_package("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe_script(debian_package: Callable[[str, str], Path]) -> str:
    """The source of axe-core, fetched from the npm registry once."""
    archive = _CACHE / f"{_AXE}.tgz"
    if not archive.exists():
        npm = shutil.which("npm") or debian_package("npm", "npm")
        _CACHE.mkdir(parents=True, exist_ok=True)
        package = _AXE.replace("core-", "core@")
        subprocess.run([npm, "pack", "--silent", package], cwd=_CACHE, check=True, timeout=120)
    with tarfile.open(archive) as files:
        script = files.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.fixture(scope="module")
def servers(server_folder: Path) -> Iterator[tuple[EmbeddedPostgres, EmbeddedRedis]]:
    folder = server_folder / f"browser-{uuid.uuid4().hex}"
    with (
        EmbeddedPostgres(folder / "postgres", template=server_folder / "template") as postgres,
        EmbeddedRedis(folder / "redis") as redis,
    ):
        elsewhere(lambda: fill_with_tables(postgres.url))
        yield postgres, redis
    postgres.remove()
    redis.remove()


@pytest.fixture(scope="module")
def site(servers: tuple[EmbeddedPostgres, EmbeddedRedis], server_folder: Path) -> Iterator[StatusSite]:
    postgres, redis = servers
    folder = server_folder / f"site-{uuid.uuid4().hex}"
    with StatusSite(folder, database_url=postgres.url, redis_url=redis.url) as site:
        yield site


@pytest.fixture(scope="module")
def worker(servers: tuple[EmbeddedPostgres, EmbeddedRedis], server_folder: Path) -> Iterator[None]:
    """A worker that takes what is asked in a browser."""
    postgres, redis = servers
    folder = server_folder / f"workplace-{uuid.uuid4().hex}"
    place = Workplace(folder, database_url=postgres.url, redis_url=redis.url)
    with place.worker():
        yield
    place.remove()


@pytest.fixture
def do(servers: tuple[EmbeddedPostgres, EmbeddedRedis]) -> Callable[[Work], Any]:
    """What does something with the database: `do(lambda sessions: flow_of(sessions, context))`."""

    async def work_with_sessions(work: Work) -> Any:
        engine = engine_for(servers[0].url)
        try:
            return await work(session_factory(engine))
        finally:
            await engine.dispose()

    return lambda work: elsewhere(lambda: asyncio.run(work_with_sessions(work)))


@pytest.fixture
def context() -> FlowContext:
    return new_context()


@pytest.fixture
def open_page(browser: Browser, site: StatusSite, context: FlowContext) -> Iterator[Callable[..., Page]]:
    """What opens a page, signed in; afterwards no page may have met an error or asked another host."""
    opened = []
    problems: list[str] = []

    def note_request(url: str) -> None:
        if urlsplit(url).netloc not in {urlsplit(site.url).netloc, ""}:
            problems.append(f"asked {url}")

    def open_(
        path: str = "",
        *,
        signed_in: bool = True,
        may_control: bool = False,
        user_id: str = "",
        whose: FlowContext = context,
        **options: Any,
    ) -> Page:
        browsing = browser.new_context(base_url=site.url, **options)
        opened.append(browsing)
        if signed_in:
            token = site.token(whose, may_control=may_control, user_id=user_id)
            cookie = {"name": "enrichment_token", "value": token, "url": site.url}
            browsing.add_cookies([cookie])  # type: ignore[list-item]  # a TypedDict of the same keys
        page = browsing.new_page()
        page.on("request", lambda request: note_request(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(path or "/flows")
        return page

    open_.problems = problems  # type: ignore[attr-defined]  # for tests in which an error is expected
    yield open_
    for browsing in opened:
        browsing.close()
    assert problems == []
