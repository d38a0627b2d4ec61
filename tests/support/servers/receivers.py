"""Receivers of notices that take them, or do what a receiver should not."""

import contextlib
import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any

from typing_extensions import override


@dataclass
class Taken:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebReceiver:
    """Answers each request with `status`; what came is in `taken`."""

    port: int
    status: int = 204
    taken: list[Taken] = field(default_factory=list)
    answer_headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=very-secret-key"

    def about(self, flow_id: object) -> list[Taken]:
        return [one for one in self.taken if str(flow_id).encode() in one.body]


@contextmanager
def web_receiver(status: int = 204, **answer_headers: str) -> Iterator[WebReceiver]:
    """Give a receiver of webhooks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.taken.append(Taken(self.path, headers, self.rfile.read(size)))
            self.send_response(receiver.status)
            for name, value in receiver.answer_headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with _serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        receiver = WebReceiver(port, status, answer_headers=answer_headers)
        yield receiver


@contextmanager
def hanging_receiver() -> Iterator[int]:
    """Give the port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


#: How a server begins whose answer never ends: a header, or the handshake of TLS.
ENDLESS_HEADER = (b"HTTP/1.1 200 OK\r\nx: ", b"x")
ENDLESS_HANDSHAKE = (b"\x16\x03\x03\x40\x00", b"\0")


@dataclass
class DrippingReceiver:
    """Answers one byte after the other, 20 a second, for ever."""

    port: int
    #: How many, to all who came.
    drops: int = 0


@contextmanager
def dripping_receiver(
    begin: bytes = ENDLESS_HEADER[0], drop: bytes = ENDLESS_HEADER[1]
) -> Iterator[DrippingReceiver]:
    """Give a server whose answer never ends."""

    class Handler(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            self.request.recv(100_000)
            with contextlib.suppress(OSError):
                self.request.sendall(begin)
                while not ended.wait(0.05):
                    self.request.sendall(drop)
                    receiver.drops += 1

    ended = threading.Event()
    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        receiver = DrippingReceiver(port)
        try:
            yield receiver
        finally:
            ended.set()


@contextmanager
def closing_receiver() -> Iterator[int]:
    """Give the port of a server that hangs up in the middle of its answer."""

    class Handler(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            self.request.recv(100_000)
            self.request.sendall(b"HTTP/1.1 20")

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield port


@contextmanager
def mail_receiver() -> Iterator[tuple[int, list[Message]]]:
    """Give the port of a mail server without TLS, and what it was sent."""
    mails: list[Message] = []

    class Handler(socketserver.StreamRequestHandler):
        @override
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                word = line.strip().upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (text := self.rfile.readline()) not in {b".\r\n", b""}:
                        lines.append(text)
                    mails.append(message_from_bytes(b"".join(lines)))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield port, mails


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            address: Any = server.server_address
            yield address[1]
        finally:
            server.shutdown()
            thread.join()
