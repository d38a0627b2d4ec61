"""A way to a server that can be cut: connections stay, and nothing comes through until it is whole again."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Partition:
    """Stands before a server on a port of its own, `port`."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1_000)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="partition")
        self._thread.start()

    def cut(self) -> None:
        """Let nothing through, in either direction, of old connections and new ones."""
        self._loop.call_soon_threadsafe(self._is_whole.clear)

    def heal(self) -> None:
        """Let everything through again, what was sent meanwhile first."""
        self._loop.call_soon_threadsafe(self._is_whole.set)

    def close(self) -> None:
        """Close all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await self._is_whole.wait()
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
                with contextlib.closing(far_writer):
                    await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                await self._is_whole.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()


@contextmanager
def partition(port: int) -> Iterator[Partition]:
    """Give a way to the server of this port."""
    way = Partition(port)
    try:
        yield way
    finally:
        way.close()
