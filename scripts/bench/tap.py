"""Everything that a Redis is told, with the server's times, and what it says about batches.

`python -m masterflow.scripts.bench.tap URL FILE` writes what MONITOR shows into a file, as it comes; it is
read afterwards, so that listening costs next to nothing.
"""

import base64
import json
import re
import socket
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import redis

from masterflow.domain.clock import parse_time
from masterflow.domain.redis_keys import answers_key, queue_key
from masterflow.scripts.terminal.entrance import run_program
from masterflow.tasks.queues import ENRICHMENT_QUEUE

_CHUNK_BYTES: Final = 1_000_000
_LINE: Final = re.compile(rb'\+(\d+\.\d+) \[[^]]*\] "(LPUSH|HSET|HSETNX)" "([^"]+)" (.*)')
_BODY: Final = re.compile(rb'\\"body\\": ?\\"([A-Za-z0-9+/=]+)\\"')
_ANSWER: Final = re.compile(rb'"([0-9a-f-]{36})" "\{\\"applied\\"')


@dataclass
class Batches:
    """When batches were sent and confirmed, in seconds since 1970, and when each of their events happened."""

    sent_at: dict[str, float] = field(default_factory=dict)
    confirmed_at: dict[str, float] = field(default_factory=dict)
    occurred_at: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path, client_account_id: UUID) -> "Batches":
        """Return what a file of this module's says about the batches of one account."""
        found = cls()
        for at, command, key, rest in _lines(file):
            if command == "LPUSH" and key == queue_key(ENRICHMENT_QUEUE):
                found._note_sent(at, rest, str(client_account_id))
            elif command == "HSET" and key.startswith(answers_key("")) and (match := _ANSWER.match(rest)):
                found.confirmed_at.setdefault(match[1].decode(), at)
        return found

    @property
    def lags_s(self) -> list[float]:
        """How long each event took from its report until its batch was seen to be committed."""
        return [
            self.confirmed_at[batch_id] - at
            for batch_id, times in self.occurred_at.items()
            if batch_id in self.confirmed_at
            for at in times
        ]

    @property
    def waits_s(self) -> list[float]:
        """How long each event waited until it was sent."""
        return [self.sent_at[batch_id] - at for batch_id, times in self.occurred_at.items() for at in times]

    def _note_sent(self, at: float, message: bytes, account: str) -> None:
        if not (match := _BODY.search(message)):
            return
        body = base64.b64decode(match[1])
        arguments: dict[str, Any] = json.loads(body if body[:1] == b"[" else zlib.decompress(body))[1]
        if arguments["client_account_id"] == account:
            batch_id = arguments["batch_id"]
            times = (parse_time(event["occurred_at"]) for event in json.loads(arguments["events"]))
            self.sent_at.setdefault(batch_id, at)
            self.occurred_at.setdefault(batch_id, [time.timestamp() for time in times if time])


def _lines(file: Path) -> Iterator[tuple[float, str, str, bytes]]:
    with file.open("rb") as lines:
        for line in lines:
            if match := _LINE.match(line):
                yield float(match[1]), match[2].decode(), match[3].decode(), match[4]


def main(redis_url: str, file: str) -> None:
    """Write until the server is gone."""
    with redis.Redis.from_url(redis_url) as client, Path(file).open("wb", buffering=0) as output:
        connection = client.connection_pool.get_connection()
        connection.send_command("MONITOR")
        connection.read_response()
        plain: socket.socket = connection._sock  # noqa: SLF001  copied as it comes, which costs least
        plain.settimeout(None)
        print("ready", flush=True)
        while data := plain.recv(_CHUNK_BYTES):
            output.write(data)


if __name__ == "__main__":
    run_program(lambda: main(*sys.argv[1:]))
