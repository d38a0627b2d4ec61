"""Answers of Redis that are larger than anything of ours end their command, not the process.

Whoever may write to one key may put half a gigabyte there, and redis-py makes three copies of what it reads.
"""

from typing import Any, Final

from redis import Redis, RedisError

from masterflow.tasks.guards.sockets import Socket, reading_through

#: Of one command, or of all commands of a pipeline.
MOST_BYTES: Final = 16_000_000


class AnswerTooLarge(RedisError):
    """Redis began an answer that is larger than anything of ours; it was not read to its end."""


def bounded(client: "Redis") -> "Redis":
    """Return the client, whose commands from now on raise AnswerTooLarge rather than read on."""
    pool = client.connection_pool
    pool.connection_class = reading_through(_Counting, pool.connection_class)
    return client


class _Counting(Socket):
    """Counts what comes after each command."""

    def __init__(self, socket: Any) -> None:
        super().__init__(socket)
        self._received = 0

    def sendall(self, data: bytes) -> None:
        self._received = 0
        self._socket.sendall(data)

    def recv(self, size: int) -> bytes:
        data: bytes = self._socket.recv(size)
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any, *arguments: Any) -> int:
        size: int = self._socket.recv_into(buffer, *arguments)
        self._count(size)
        return size

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > MOST_BYTES:
            raise AnswerTooLarge(f"Redis answers with more than {MOST_BYTES} bytes, unlike anything of ours.")
