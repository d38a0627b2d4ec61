"""Many open event streams at once, and those whose clients read too slowly, over real connections."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried
from tests.support.event_streams import event_reader
from tests.support.events.reported_flows import Sessions, flow_of, report
from tests.support.eventually import eventually
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite

pytestmark = pytest.mark.alone

_STREAMS = 1_000


@contextmanager
def open_files(allowed: int) -> Iterator[None]:
    """Let this process, and those it starts, open so many files; they may raise it again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def raw_stream(
    site: StatusSite, context: FlowContext, *, receive_buffer_bytes: int = 0
) -> AsyncIterator[asyncio.StreamReader]:
    """Give a stream that is ready, without a client that costs more than the server."""
    address = urlsplit(site.url)
    connection = socket.socket()
    if receive_buffer_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    connection.setblocking(False)  # positional only
    await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 12)
    try:
        head = f"GET /api/v1/events HTTP/1.1\r\nHost: {address.netloc}\r\n"
        writer.write(f"{head}Authorization: {site.bearer(context)['Authorization']}\r\n\r\n".encode())
        await reader.readuntil(b"event: ready")
        yield reader
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def open_streams(site: StatusSite) -> float:
    told = site.get("/metrics", headers={"Authorization": f"Bearer {PROBE_TOKEN}"}).text
    return float(
        next(line for line in told.splitlines() if line.startswith("enrichment_status_open_")).split()[1]
    )


def memory_mb(site: StatusSite) -> float:
    pages = int(Path(f"/proc/{site.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.fixture
def own_site(
    request: pytest.FixtureRequest, tmp_path: Path, site_and_database: tuple[StatusSite, str], redis_url: str
) -> Iterator[StatusSite]:
    """A site of its own, with few open files allowed at first; the parameter is its settings."""
    settings = {"ENRICHMENT_STATUS_RATE_PER_S": "2000", **getattr(request, "param", {})}
    own = StatusSite(tmp_path, database_url=site_and_database[1], redis_url=redis_url, **settings)
    with ExitStack() as stack:
        with open_files(512):
            stack.enter_context(own)
        yield own


async def test_a_thousand_streams_are_told_and_closed_ones_forgotten(
    own_site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context)
    told = str(flow_id).encode()
    with open_files(5_000):
        async with AsyncExitStack() as stack:
            before_mb = memory_mb(own_site)
            readers = [
                await stack.enter_async_context(raw_stream(own_site, context)) for _ in range(_STREAMS)
            ]
            assert open_streams(own_site) == _STREAMS
            assert own_site.get("/api/v1/events", headers=own_site.bearer(context)).status_code == 503
            await report(sessions, context, flow_id, (FlowRetried, {}))
            async with asyncio.timeout(20):
                await asyncio.gather(*(reader.readuntil(told) for reader in readers))
            assert own_site.get("/api/v1/flows", headers=own_site.bearer(context)).is_success
            assert memory_mb(own_site) - before_mb < _STREAMS * 0.1
        eventually(lambda: open_streams(own_site) == 0, timeout_s=30)


@pytest.mark.parametrize("own_site", [{"ENRICHMENT_STATUS_SEND_TIMEOUT_S": "3"}], indirect=True)
async def test_a_client_that_stops_reading_is_cut_and_nothing_piles_up_for_it(
    own_site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_ids = [await flow_of(sessions, context) for _ in range(300)]
    async with (
        own_site.client(context) as client,
        event_reader(client) as quick,
        raw_stream(own_site, context, receive_buffer_bytes=2_048),
    ):
        assert open_streams(own_site) == 2
        before_mb = memory_mb(own_site)
        async with asyncio.timeout(120):
            while open_streams(own_site) == 2:
                await _touch_all(sessions, context, "x" * 300)
                # Whoever reads, reads all of it: on a busy machine it would be cut too for what it left.
                unread = {str(flow_id) for flow_id in flow_ids}
                while unread:
                    unread.discard((await quick.next(timeout_s=60)).data["flow_id"])
        assert open_streams(own_site) == 1
        assert memory_mb(own_site) - before_mb < 30


async def _touch_all(sessions: Sessions, context: FlowContext, message: str) -> None:
    async with sessions.begin() as db:
        await db.execute(
            text(
                "update migration.crewai_flow_state_extensions set updated_at = clock_timestamp(),"
                " flow_metadata = jsonb_build_object('last_progress_update', jsonb_build_object('message',"
                " cast(:message as text))) where client_account_id = :account"
            ),
            {"account": context.client_account_id, "message": message},
        )
