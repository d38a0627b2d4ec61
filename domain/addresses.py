"""Addresses of Redis and of the broker, read by one rule for every client that connects to them.

Redis: `redis://`, `rediss://` (TLS), `unix:///path` or `redis+socket:///path`, and
`sentinel://host:port/db;sentinel://host:port/db`, each with `user:password@` before the host.
"""

# Loaded now: where a signal handler asks for a codec while it is being loaded, Python holds for ever that
# there is none.
import encodings.idna  # noqa: F401
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from masterflow.domain.settings import SettingRefused, Settings

_PORTS: Final = {"redis": 6379, "rediss": 6379, "sentinel": 26379}
_SOCKETS: Final = ("unix", "redis+socket")
_AMQP: Final = ("amqp", "amqps")

# Options of one client or another that say how long it waits, how often it tries and in which words it
# speaks. Each part of this project has limits of its own, so these are read and have no effect.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "blocked_connection_timeout", "client_name", "connection_attempts", "connection_timeout",
        "decode_responses", "encoding", "health_check_interval", "heartbeat", "max_connections", "protocol",
        "retry_delay", "retry_on_error", "retry_on_timeout", "socket_connect_timeout", "socket_keepalive",
        "socket_read_size", "socket_timeout", "timeout",
    }
)  # fmt: skip
_DATABASE: Final = ("db", "virtual_host")
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_VERIFIES: Final = {
    "required": "required", "cert_required": "required",
    "optional": "optional", "cert_optional": "optional",
    "none": "none", "cert_none": "none",
}  # fmt: skip
_YES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, or the Sentinels that name it, and how to enter it; its repr shows no password."""

    hosts: tuple[tuple[str, int], ...] = ()
    #: Of a Unix socket, instead of hosts.
    path: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = None
    is_sentinel: bool = False
    #: Options of TLS as redis-py and kombu take them; None without TLS.
    tls: Mapping[str, str | bool] | None = None

    def __repr__(self) -> str:
        return f"RedisAddress({self.path or self.hosts}, database={self.database})"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return what an address says.

        Raises:
            SettingRefused: it is no address of a Redis, or not one that every client can follow.
        """
        is_many = url.strip().startswith("sentinel:")
        parts = [_split(part) for part in url.split(";")] if is_many else [_split(url)]
        first = parts[0]
        options = _options(first, allowed={*_DATABASE, *_TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname"})
        is_socket = first.scheme in _SOCKETS
        if first.scheme not in {*_PORTS, *_SOCKETS} or any(part.scheme != first.scheme for part in parts):
            raise SettingRefused("its scheme is another one")
        if is_socket and (first.hostname or not first.path.strip("/")):
            raise SettingRefused("the address of a Unix socket has a path and no host")
        return cls(
            hosts=() if is_socket else tuple(_host(part) for part in parts),
            path=unquote(first.path) if is_socket else "",
            database=_database(options, "" if is_socket else first.path.strip("/")),
            username=_text(first.username),
            password=_text(first.password),
            is_sentinel=first.scheme == "sentinel",
            tls=_tls(options, is_tls=first.scheme == "rediss"),
        )

    @property
    def credentials(self) -> dict[str, Any]:
        """Return how to enter, as redis-py takes it."""
        return {"username": self.username, "password": self.password, "db": self.database}

    @property
    def client_options(self) -> dict[str, Any]:
        """Return what a `redis.Redis`, synchronous or not, takes; of Sentinels only the credentials."""
        if self.path:
            return {**self.credentials, "unix_socket_path": self.path}
        if self.is_sentinel:
            return self.credentials
        [(host, port)] = self.hosts
        return {
            **self.credentials,
            "host": host,
            "port": port,
            **({"ssl": True, **self.tls} if self.tls else {}),
        }

    @property
    def kombu_url(self) -> str:
        """Return the same address as kombu takes it, without options."""
        name = quote(self.username or "", safe="")
        enter = f"{name}:{quote(self.password, safe='')}@" if self.password else f"{name}@" if name else ""
        if self.path:
            return f"redis+socket://{enter}{quote(self.path)}?virtual_host={self.database}"
        scheme = "sentinel" if self.is_sentinel else "rediss" if self.tls else "redis"
        hosts = ((f"[{host}]" if ":" in host else host, port) for host, port in self.hosts)
        return ";".join(f"{scheme}://{enter}{host}:{port}/{self.database}" for host, port in hosts)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is: RabbitMQ, or Redis; several with `;` between them are tried in turn."""

    #: As kombu takes it, without options.
    url: str
    #: The first Redis; None with RabbitMQ.
    redis: RedisAddress | None = None

    def __repr__(self) -> str:
        return f"BrokerAddress({self.redis or 'amqp'})"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return what an address says.

        Raises:
            SettingRefused: it is no address of a broker, or not one that every client can follow.
        """
        if url.strip().startswith("sentinel:"):
            found = RedisAddress.parse(url)
            return cls(found.kombu_url, found)
        parts = url.split(";")
        if all(_split(part).scheme in _AMQP for part in parts):
            return cls(";".join(_amqp_url(part) for part in parts))
        addresses = [RedisAddress.parse(part) for part in parts]
        if any(address.tls != addresses[0].tls for address in addresses):
            raise SettingRefused("all its servers need the same TLS options")
        return cls(";".join(address.kombu_url for address in addresses), addresses[0])


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
        # Which a client does when it looks it up, and ends there.
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise SettingRefused("its host or port is malformed") from error
    return parts


def _amqp_url(url: str) -> str:
    parts = _split(url)
    if not parts.hostname:
        raise SettingRefused("a host is missing")
    _options(parts, allowed=())
    return parts._replace(query="", fragment="").geturl()


def _options(parts: SplitResult, *, allowed: Iterable[str]) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - _WITHOUT_EFFECT - {*allowed}):
        raise SettingRefused(f"the option {unknown[0][:40]!r} is not one that every client knows")
    return options


def _host(parts: SplitResult) -> tuple[str, int]:
    if not parts.hostname:
        raise SettingRefused("a host is missing")
    return parts.hostname, parts.port or _PORTS[parts.scheme]


def _database(options: Mapping[str, str], path: str) -> int:
    text = next((options[name] for name in _DATABASE if name in options), path) or "0"
    if not (text.isascii() and text.isdigit()):
        raise SettingRefused("the database is no number")
    return int(text)


def _tls(options: Mapping[str, str], *, is_tls: bool) -> dict[str, str | bool] | None:
    given = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if not is_tls:
        if given:
            raise SettingRefused("options of TLS need rediss://")
        return None
    verifies = _VERIFIES.get(given.pop("ssl_cert_reqs", "required").lower())
    checks_host = _YES.get(given.pop("ssl_check_hostname", "true").lower())
    if verifies is None or checks_host is None:
        raise SettingRefused("ssl_cert_reqs is required, optional or none, ssl_check_hostname true or false")
    # A host's name cannot be checked against a certificate that nobody verifies.
    return {"ssl_cert_reqs": verifies, "ssl_check_hostname": checks_host and verifies != "none", **given}


def _text(quoted: str | None) -> str | None:
    return unquote(quoted) if quoted else None


def _redis_url(url: str) -> str:
    RedisAddress.parse(url)
    return url


class RedisAddressSettings(Settings):
    """Where Redis is; its repr shows no password."""

    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "redis://localhost:6379/0",
        repr=False,
        validation_alias="REDIS_URL",
        description="redis://user:password@host:6379/0, or rediss://, unix:///path or sentinel://host:26379/0",
    )
    #: The group that a sentinel:// address leads to.
    sentinel_master: Annotated[str, StringConstraints(min_length=1)] = Field(
        "mymaster",
        validation_alias="ENRICHMENT_SENTINEL_MASTER",
        description="the name of the Sentinel group",
    )

    @property
    def redis(self) -> RedisAddress:
        """Return what the address says."""
        return RedisAddress.parse(self.redis_url)
