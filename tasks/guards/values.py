"""Values of Redis that are larger than any message come out of the socket as short ones that say so.

kombu and Celery make half a dozen copies of a message before anyone can look at its size, and redis-py three.
Whichever parser reads the answers, here is where they come from.
"""

import base64
import json
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from masterflow.tasks.guards.sockets import Socket, reading_through
from masterflow.tasks.inbox.envelope import SIZE_HEADER

# A body of 4,000,000 bytes, which is the most that is read, as base64, and its headers.
MOST_BYTES: Final = 6_000_000

_EXCERPT_BYTES: Final = 4_000
_END: Final = b"\r\n"
# Kinds of answers that say how many bytes come behind their first line: a text, a failure, a formatted text.
_SIZED: Final = (b"$", b"!", b"=")


def shortening(kind: Any) -> Any:
    """Return a class of connections to Redis which give the beginning of what is larger than any message."""
    return reading_through(_Shortening, kind)


class Shortener:
    """Takes what Redis answers, piece by piece, and gives it with short values in place of large ones."""

    def __init__(self, make: Callable[[bytes, int], bytes], most_bytes: int = MOST_BYTES) -> None:
        self._make, self._most_bytes = make, most_bytes
        self._line = bytearray()
        # What is left of a value that passes, or of a large one; and the beginning and size of that.
        self._passing = self._skipping = self._size = 0
        self._head = bytearray()

    def take(self, data: bytes) -> bytes:
        """Return what is to be read in place of the next piece; nothing while a large value comes in."""
        if self._passing >= len(data):
            self._passing -= len(data)
            return data
        found = bytearray()
        start = 0
        while start < len(data):
            if self._passing:
                end = min(len(data), start + self._passing)
                found += data[start:end]
                self._passing -= end - start
            elif self._skipping:
                end = min(len(data), start + self._skipping)
                self._head += data[start : min(end, start + _EXCERPT_BYTES - len(self._head))]
                self._skipping -= end - start
                if not self._skipping:
                    found += self._short()
            else:
                end = self._take_line(data, start, found)
            start = end
        return bytes(found)

    def _take_line(self, data: bytes, start: int, found: bytearray) -> int:
        """Take a first line in, or what there is of it; return where it ends."""
        end = data.find(b"\n", start) + 1 or len(data)
        self._line += data[start:end]
        if not self._line.endswith(_END):
            return end
        line, self._line = bytes(self._line), bytearray()
        size = int(line[1:-2]) if line[:1] in _SIZED and line[1:-2].isdigit() else -1
        if size > self._most_bytes:
            self._size, self._skipping, self._head = size, size + len(_END), bytearray()
        else:
            self._passing = size + len(_END) if size >= 0 else 0
            found += line
        return end

    def _short(self) -> bytes:
        value = self._make(bytes(self._head), self._size)
        return b"$%d\r\n%b\r\n" % (len(value), value)


class _Shortening(Socket):
    """Gives short values in place of large ones."""

    def __init__(self, socket: Any) -> None:
        super().__init__(socket)
        self._shortener = Shortener(short_message)
        self._ready = b""

    def recv(self, size: int) -> bytes:
        while not self._ready:
            data: bytes = self._socket.recv(size)
            if not data:
                return b""
            self._ready = self._shortener.take(data)
        found, self._ready = self._ready[:size], self._ready[size:]
        return found

    def recv_into(self, buffer: Any, *arguments: Any) -> int:
        found = self.recv(arguments[0] if arguments and arguments[0] else len(buffer))
        buffer[: len(found)] = found
        return len(found)


def short_message(head: bytes, size: int) -> bytes:
    """Return a message without a task that holds the beginning of a value and says how large it was."""
    message = {
        "body": base64.b64encode(head[:_EXCERPT_BYTES]).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {SIZE_HEADER: size},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": ""},
        },
    }
    return json.dumps(message).encode()
