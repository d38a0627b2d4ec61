"""Answers of Redis that are larger than anything of ours end their command, not the process."""

from functools import cache
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

#: Of one command, or of all commands of a pipeline.
MOST_BYTES: Final = 64_000_000


class AnswerTooLarge(RedisError):
    """Redis began an answer that is larger than anything of ours; it was not read to its end."""


def bounded(client: Redis) -> Redis:
    """Return the client, whose commands from now on raise AnswerTooLarge rather than read on."""
    pool: Any = client.connection_pool
    pool.connection_class = _bounded(pool.connection_class)
    return client


@cache
def _bounded(kind: Any) -> Any:
    class Bounded(kind):  # type: ignore[misc]  # TCP, TLS, a socket's path, or whatever a Sentinel names
        _reader: Any

        async def _connect(self) -> None:
            await super()._connect()
            self._reader = _Reader(self._reader)

        async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
            if self._reader is not None:
                self._reader.received = 0
            await super().send_packed_command(*arguments, **options)

    return Bounded


class _Reader:
    """A stream that counts what comes after each command, for whichever parser reads it."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.received = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def read(self, size: int = -1) -> bytes:
        data: bytes = await self._reader.read(size)
        self._count(len(data))
        return data

    async def readexactly(self, size: int) -> bytes:
        self._count(size)
        data: bytes = await self._reader.readexactly(size)
        return data

    async def readline(self) -> bytes:
        line: bytes = await self._reader.readline()
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self.received += size
        if self.received > MOST_BYTES:
            raise AnswerTooLarge(f"Redis answers with more than {MOST_BYTES} bytes, unlike anything of ours.")
