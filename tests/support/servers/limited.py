"""Users of Redis and Postgres who may do what docs/operations.md lists, and nothing else."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from redis import Redis
from sqlalchemy import URL, make_url

from tests.support.pages import blocks

_USER = "enrichment"


def page_block(start: str) -> str:
    """Return the block of the page that begins like this."""
    [text] = [text for _, text in blocks("docs/operations.md") if text.startswith(start)]
    return text


def redis_rules() -> list[str]:
    """Return the ACL rules of the page, user and password left out."""
    return [rule for rule in page_block("ACL SETUSER").split()[3:] if not rule.startswith(">")]


def limited_redis_url(url: str, *more_rules: str) -> str:
    """Make the page's user on a server, with more rules after its own; return the address as that user."""
    parts, password = urlsplit(url), secrets.token_urlsafe(12)
    with Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", _USER, "reset", f">{password}", *redis_rules(), *more_rules)
    host = f"{parts.hostname}:{parts.port}"
    return parts._replace(netloc=f"{_USER}:{password}@{host}").geturl()


def overstepped(url: str) -> set[str]:
    """Return what the server with this address of its admin refused that user; a library's greeting aside."""
    with Redis.from_url(url, decode_responses=True) as admin:
        log: Any = admin.execute_command("ACL", "LOG")
        entries = [dict(zip(it[::2], it[1::2], strict=True)) if isinstance(it, list) else it for it in log]
        strange = {key for key in admin.scan_iter() if not key.startswith("enrichment:")}
    refused = {f"{entry['reason']} {re.sub('[0-9a-f-]{36}', 'ID', entry['object'])}" for entry in entries}
    return (refused | strange) - {"command client", "command client|setinfo"}


def page_grants(name: str) -> list[str]:
    """Return the page's statements for one of its roles, with `{role}` in its place."""
    block = page_block(f"GRANT USAGE ON SCHEMA migration TO {name};")
    return [statement.replace(name, "{role}") for statement in block.strip().rstrip(";").split(";\n")]


class LimitedRole:
    """A role of Postgres that may nothing but what it is given; `url` is the address as that role."""

    def __init__(self, database_url: str) -> None:
        self.name = f"limited_{secrets.token_hex(6)}"
        self._admin: URL = make_url(database_url)
        password = secrets.token_urlsafe(12)
        self.run(f"create role {{role}} login password '{password}'")
        url = self._admin.set(username=self.name, password=password)
        self.url = url.render_as_string(hide_password=False)

    def run(self, *statements: str) -> None:
        """Run statements as the admin; `{role}` stands for the role's name."""
        address = self._admin.set(drivername="postgresql").render_as_string(hide_password=False)
        options = "-c default_transaction_read_only=off"
        with psycopg.connect(address, autocommit=True, options=options) as connection:
            for statement in statements:
                connection.execute(statement.format(role=self.name).encode())


@contextmanager
def limited_role(database_url: str, *statements: str) -> Iterator[LimitedRole]:
    """Give a role that these statements were run for; it goes with all that it was given."""
    role = LimitedRole(database_url)
    try:
        role.run(*statements)
        yield role
    finally:
        role.run("drop owned by {role} cascade", "drop role {role}")
