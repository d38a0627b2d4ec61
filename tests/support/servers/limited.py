"""Users of Redis and Postgres who may do what docs/operations.md lists, and nothing else."""

import re
import secrets
from typing import Any
from urllib.parse import urlsplit

from redis import Redis

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
