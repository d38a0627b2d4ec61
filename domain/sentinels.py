"""The address of a Redis that is found by asking Sentinels."""

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote, urlsplit

_SCHEME: Final = "sentinel://"
_PORT: Final = 26379


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Which Sentinels to ask, and how to enter the Redis that they name."""

    hosts: tuple[tuple[str, int], ...]
    database: int
    username: str | None
    password: str | None

    @classmethod
    def find(cls, url: str) -> Self | None:
        """Return what `sentinel://user:password@host:port/db;sentinel://...` says; None for other schemes.

        Name, password and database are the first one's.

        Raises:
            ValueError: a port or the database is no number, or a host is missing.
        """
        if not url.startswith(_SCHEME):
            return None
        parts = [urlsplit(part) for part in url.split(";")]
        if not all(part.hostname for part in parts):
            raise ValueError("a host is missing")
        first = parts[0]
        return cls(
            tuple((part.hostname or "", part.port or _PORT) for part in parts),
            int(first.path.strip("/") or 0),
            _text(first.username),
            _text(first.password),
        )


def _text(quoted: str | None) -> str | None:
    return unquote(quoted) if quoted else None
