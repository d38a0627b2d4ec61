"""DATABASE_URL as applications have it, whatever driver it was written for, made one of ours."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from psycopg.pq import Conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from masterflow.domain.settings import SettingRefused

DRIVER: Final = "postgresql+psycopg"

_SCHEMES: Final = (
    "postgresql",
    "postgres",
    DRIVER,
    "postgresql+psycopg_async",
    "postgresql+asyncpg",
    "postgresql+psycopg2",
)

#: What Prisma and others say of a pgbouncer in transaction mode.
_PGBOUNCER: Final = "pgbouncer"

# Options of asyncpg, SQLAlchemy, psycopg and Prisma for their pools and statements; ours are settings.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "async_fallback", "command_timeout", "connection_limit", "connection_timeout", "executemany_mode",
        "pool_timeout", "prepare_threshold", "prepared_statement_cache_size", "schema", "socket_timeout",
        "statement_cache_size", "timeout", _PGBOUNCER,
    }
)  # fmt: skip

#: What asyncpg's `ssl` says in libpq's words.
_SSL: Final = {"true": "require", "1": "require", "on": "require", "false": "disable", "0": "disable"}
_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})

_HOSTS: Final = re.compile(
    r"^(?P<scheme>[^:/?#]+)://(?P<enter>[^/?#]*@)?(?P<hosts>[^/?#@]*,[^/?#@]*)(?P<rest>.*)$"
)
_HOST: Final = re.compile(r"(?P<name>.*?)(:(?P<port>\d+))?")


def postgres_url(value: object) -> URL:
    """Return a URL that names our driver, with the options of libpq.

    Raises:
        SettingRefused: it is no URL of a Postgres, or asks for what we cannot do.
    """
    try:
        url = value if isinstance(value, URL) else make_url(_with_hosts_as_options(str(value).strip()))
    except (ArgumentError, ValueError) as error:
        raise SettingRefused("it is no URL") from error
    if url.drivername.lower() not in _SCHEMES:
        raise SettingRefused("its scheme is another one")
    if "@" in (url.host or ""):
        raise SettingRefused("an @ in the password is written as %40")
    options = {name: given for name, given in url.query.items() if name not in _WITHOUT_EFFECT}
    if "ssl" in options:
        options["sslmode"] = _ssl_mode(options.pop("ssl"))
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if unknown := sorted(options.keys() - known):
        raise SettingRefused(f"the option {unknown[0][:40]!r} is not one of Postgres")
    for name in (unquote(url.host or ""), *str(options.get("host", "")).split(",")):
        _require_lookup(name)
    # libpq has the folder of a socket as a host, too, with each slash as %2F.
    return url.set(drivername=DRIVER, host=url.host and unquote(url.host), query=options)


def names_pgbouncer(value: object) -> bool:
    """Return whether a URL says that it leads to pgbouncer in transaction mode."""
    try:
        options = parse_qs(urlsplit(str(value).strip()).query)
    except ValueError:
        return False
    return options.get(_PGBOUNCER, [""])[-1].lower() in {"true", "1"}


def _require_lookup(host: str) -> None:
    """Make sure that psycopg can look up a host; it would end in no error of its own.

    Raises:
        SettingRefused: no host can be called so.
    """
    try:
        if not host.startswith("/"):
            host.encode("idna")
    except UnicodeError as error:
        raise SettingRefused("its host is malformed") from error


def _ssl_mode(given: str | Sequence[str]) -> str:
    mode = _SSL.get(str(given).lower(), str(given).lower())
    if mode not in _MODES:
        raise SettingRefused("ssl is true, false or one of the words of sslmode")
    return mode


def _with_hosts_as_options(url: str) -> str:
    """Return libpq's `//user:password@one:1,two:2/database` with the hosts where SQLAlchemy reads them."""
    found = _HOSTS.match(url)
    if found is None:
        return url
    hosts = [_HOST.fullmatch(host) for host in found["hosts"].split(",")]
    names = ",".join((host["name"] if host else "").strip("[]") for host in hosts)
    ports = ",".join((host["port"] if host else "") or "5432" for host in hosts)
    path, _, options = found["rest"].partition("?")
    more = f"host={quote(names)}&port={ports}{'&' if options else ''}{options}"
    return f"{found['scheme']}://{found['enter'] or ''}{path}?{more}"
