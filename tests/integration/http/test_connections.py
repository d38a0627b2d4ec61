"""What somebody without a token tries with real connections: to hold the API up, and to pass for others."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from masterflow.domain import FlowContext
from tests.support.eventually import eventually
from tests.support.processes.status_site import StatusSite

_MANY = 2_600
_UNFINISHED = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: "


@contextmanager
def connected(url: str, sent: bytes = b"", *, count: int = 1) -> Iterator[list[socket.socket]]:
    """Give connections on which this was sent, and nothing after it."""
    parts = urlsplit(url)
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 80), 10))
            one.sendall(sent)
            made.append(one)
        yield made


def is_cut(one: socket.socket, *, within_s: float) -> bool:
    """Return whether the other side ends a connection in time, whatever it says before."""
    one.settimeout(within_s)
    try:
        while one.recv(65_536):
            pass
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return True


@pytest.fixture
def make_site(database_url: str, redis_url: str, tmp_path: Path) -> Callable[..., StatusSite]:
    def make(**settings: str) -> StatusSite:
        return StatusSite(tmp_path / "site", database_url=database_url, redis_url=redis_url, **settings)

    return make


@contextmanager
def files(most: int) -> Iterator[None]:
    """Let this process, and what it starts meanwhile, hold so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, most), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_headers_that_are_never_finished_stop_nobody(
    make_site: Callable[..., StatusSite],
) -> None:
    with ExitStack() as stack:
        # With room for more than it asks for, no number of connections would hold it up.
        with files(1_024):
            site = stack.enter_context(make_site())
        stack.enter_context(files(2 * _MANY))
        stack.enter_context(connected(site.url, _UNFINISHED, count=_MANY))
        for _ in range(20):
            started = time.monotonic()
            answer = site.get("/health/live", headers={"Connection": "close"})
            assert answer.text == "alive\n"
            assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health/",
        _UNFINISHED,
        b"POST /signin HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\ntoken=",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health/live HTT",
    ],
)
def test_a_request_that_is_too_long_in_coming_is_cut_however_it_trickles(
    make_site: Callable[..., StatusSite], sent: bytes
) -> None:
    with make_site(ENRICHMENT_STATUS_REQUEST_TIMEOUT_S="1") as site, connected(site.url, sent) as [one]:
        started = time.monotonic()
        # A byte now and then buys no time.
        for _ in range(20):
            time.sleep(0.1)
            try:
                one.sendall(b"x")
            except OSError:
                break
        assert is_cut(one, within_s=5)
        assert time.monotonic() - started < 4


def test_streams_and_answers_outlast_the_time_that_a_request_has(
    make_site: Callable[..., StatusSite], context: FlowContext
) -> None:
    with make_site(ENRICHMENT_STATUS_REQUEST_TIMEOUT_S="1") as site:
        token = site.token(context)
        ask = f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        with connected(site.url, ask) as [one]:
            assert not is_cut(one, within_s=3)
        # And a connection that is used again has it anew each time.
        with connected(site.url) as [one]:
            for _ in range(4):
                one.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while not answer.endswith(b"alive\n"):
                    part = one.recv(65_536)
                    assert part
                    answer += part
                time.sleep(0.5)


def guesses(site: StatusSite, *, count: int = 12, address: str = "198.51.100.{}") -> set[int]:
    """Return what so many wrong tokens are answered, each as if it came from somewhere else."""
    return {
        site.get(
            "/flows",
            headers={"Authorization": f"Bearer {n}", "X-Forwarded-For": address.format(n)},
        ).status_code
        for n in range(count)
    }


def test_who_claims_to_come_from_elsewhere_guesses_no_more(
    make_site: Callable[..., StatusSite],
) -> None:
    with make_site(ENRICHMENT_STATUS_WRONG_TOKENS_PER_S="1") as site:
        assert guesses(site) == {401, 429}


def test_a_proxy_that_is_trusted_tells_people_apart(make_site: Callable[..., StatusSite]) -> None:
    settings = {
        "ENRICHMENT_STATUS_WRONG_TOKENS_PER_S": "1",
        "ENRICHMENT_STATUS_TRUSTED_PROXIES": "127.0.0.0/8, 10.0.0.0/8",
    }
    with make_site(**settings) as site:
        assert guesses(site) == {401}
        # What stands before the proxy's own word is what whoever asks has written.
        assert guesses(site, address="198.51.100.{}, 203.0.113.7, 10.1.2.3") == {401, 429}
        # Nor is a network of IPv6 many people.
        assert guesses(site, address="2001:db8:1:2::{}") == {401, 429}


def test_guesses_of_sign_in_codes_lock_nobody_else_out(
    make_site: Callable[..., StatusSite], context: FlowContext
) -> None:
    code = "a-code-of-this-test"
    settings = {
        "ENRICHMENT_STATUS_WRONG_TOKENS_PER_S": "1",
        "ENRICHMENT_STATUS_TRUSTED_PROXIES": "127.0.0.1",
        "ENRICHMENT_STATUS_SIGNIN_CODE": code,
    }
    site = make_site()
    token = site.token(context)
    with make_site(**settings, ENRICHMENT_STATUS_SIGNIN_TOKEN=token) as site:
        mallory, ann = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2"}
        tries = {site.get("/signin", params={"code": f"{n}"}, headers=mallory).status_code for n in range(12)}
        assert tries == {401, 429}
        assert site.get("/signin", params={"code": code}, headers=ann).is_success


@pytest.mark.long("http")
@pytest.mark.parametrize("proto", ["https", "http"])
def test_the_cookie_is_for_tls_only_where_a_trusted_proxy_says_that_there_is_some(
    make_site: Callable[..., StatusSite], context: FlowContext, proto: str
) -> None:
    for proxies, is_secure in (("", False), ("127.0.0.1", proto == "https")):
        code = "a-code-of-this-test"
        token = make_site().token(context)
        with make_site(
            ENRICHMENT_STATUS_TRUSTED_PROXIES=proxies,
            ENRICHMENT_STATUS_SIGNIN_CODE=code,
            ENRICHMENT_STATUS_SIGNIN_TOKEN=token,
        ) as site:
            answer = site.get("/signin", params={"code": code}, headers={"X-Forwarded-Proto": proto})
        assert ("Secure" in answer.headers["set-cookie"]) == is_secure


_ELSEWHERE = (
    "//evil.example/flows",
    "/flows/",
    "//evil.example/flows/",
    "/\\evil.example",
    "/signin?next=//evil.example",
)


def test_nobody_is_led_elsewhere_whatever_the_address_or_host_says(
    make_site: Callable[..., StatusSite], context: FlowContext
) -> None:
    with make_site() as site:
        for path in ("/", "/signin", "/signout", "/flows", "/health/live", *_ELSEWHERE):
            for headers in (
                {"Host": "evil.example"},
                {"X-Forwarded-Host": "evil.example"},
                {"Host": "evil.example", **site.bearer(context)},
            ):
                answer = site.get(path, headers=headers)
                assert "evil" not in answer.headers.get("location", ""), path
                assert "//evil" not in answer.text, path


def test_the_site_lives_on_after_all_that(make_site: Callable[..., StatusSite]) -> None:
    with make_site() as site:
        with connected(site.url, b"\x00\xff" * 40_000, count=50):
            eventually(lambda: site.get("/health/live").is_success, timeout_s=10)
        assert site.process.is_running
