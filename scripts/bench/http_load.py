"""Requests at a steady rate and open event streams, with a client that costs next to nothing."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

_CONNECTIONS: Final = 32
_CHANGES: Final = 20

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


class Connections:
    """Kept-alive connections to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        #: Requests that were answered with anything but 200.
        self.refused = 0
        self._free: asyncio.LifoQueue[Stream] = asyncio.LifoQueue()

    async def __aenter__(self) -> Self:
        for _ in range(_CONNECTIONS):
            self._free.put_nowait(await _connect(self._port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while not self._free.empty():
            self._free.get_nowait()[1].close()

    async def load(self, requests: Sequence[tuple[str, str]], *, rate: int, seconds: int) -> list[float]:
        """Return the milliseconds of each request, counted from when it was due."""
        begin = time.monotonic()
        tasks = []
        for number in range(rate * seconds):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            path, token = requests[number % len(requests)]
            tasks.append(asyncio.create_task(self._ask(path, token, due)))
        return list(await asyncio.gather(*tasks))

    async def _ask(self, path: str, token: str, due: float) -> float:
        stream = await self._free.get()
        if stream[0].at_eof():
            stream = await _connect(self._port)
        reader, writer = stream
        writer.write(_request(path, token))
        head = await reader.readuntil(b"\r\n\r\n")
        self.refused += b" 200 " not in head.split(b"\r\n", 1)[0]
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        self._free.put_nowait(stream)
        return (time.monotonic() - due) * 1000


async def streams(
    port: int, token: str, *, clients: int, change: Callable[[int], Awaitable[str]]
) -> list[float]:
    """Return the milliseconds from each of some commits to each of the clients."""
    committed: dict[str, float] = {}
    delays: list[float] = []
    opened = [await _open(port, token) for _ in range(clients)]
    tasks = [asyncio.create_task(_listen(reader, committed, delays)) for reader, _ in opened]
    await asyncio.sleep(3)
    for number in range(1, _CHANGES + 1):
        begun = time.monotonic()
        flow_id = await change(number)
        # A poll may be quicker than we are told of the commit.
        committed[flow_id] = min(time.monotonic(), begun + 0.005)
        await asyncio.sleep(0.7)
    await asyncio.sleep(3)
    for task, (_, writer) in zip(tasks, opened, strict=True):
        task.cancel()
        writer.close()
    return delays


async def _open(port: int, token: str) -> Stream:
    stream = await _connect(port)
    stream[1].write(_request("/api/v1/events", token))
    head = await stream[0].readuntil(b"event: ready")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(head.decode())
    return stream


async def _listen(reader: asyncio.StreamReader, committed: dict[str, float], delays: list[float]) -> None:
    while line := await reader.readline():
        if line.startswith(b'data: {"flow_id":"'):
            flow_id = line[18:54].decode()
            if at := committed.get(flow_id):
                delays.append((time.monotonic() - at) * 1000)


async def _connect(port: int) -> Stream:
    for _ in range(200):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
    raise RuntimeError("The status API did not start.")


def _request(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
