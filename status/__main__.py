"""Starts the status API and the live page: `python -m masterflow.status --port 8000`."""

import asyncio
import gc
import logging
import resource
import signal
import socket
from types import FrameType
from typing import Annotated, Final

import typer
import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from masterflow.domain import EnrichmentError, InputInvalid
from masterflow.domain.shown.harmless import harmless
from masterflow.domain.shown.log_format import HarmlessFormatter
from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.status.access.connections import bounded_protocol
from masterflow.status.app import make_app
from masterflow.status.settings import StatusSettings
from masterflow.tasks.enqueue import QueueSettings

_BACKLOG: Final = 2_048
_OTHER_FILES: Final = 500

# What is open beside connections of others and those to Postgres: Redis, the broker, logs, the listener.
_FILES_OF_OURS: Final = 100

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class _Server(uvicorn.Server):
    """Ends the event streams as soon as it is told to stop; it would wait for them."""

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app = self.config.app
        if isinstance(app, FastAPI) and hasattr(app.state, "status"):
            app.state.masterflow.changes.close()
        super().handle_exit(sig, frame)


@cli.command()
def main(
    port: Annotated[int, typer.Option(help="0 for any free one.")] = 8000,
    host: Annotated[str, typer.Option(help="By default only this machine can reach it.")] = "127.0.0.1",
) -> None:
    """Serve the status API and the live page."""  # noqa: DOC501
    try:
        settings = StatusSettings()
        app = make_app(settings, database=DatabaseSettings(), redis=RedisSettings(), queue=QueueSettings())
        listener = _listening_socket(host, port, send_timeout_s=settings.send_timeout_s)
    except EnrichmentError as error:
        typer.echo(harmless(error), err=True)
        raise typer.Exit(1) from None
    files = _allow_files(settings.most_streams + _OTHER_FILES)
    protocol = bounded_protocol(
        most_connections=max(1, files - _FILES_OF_OURS - settings.pool_size),
        request_timeout_s=settings.request_timeout_s,
    )
    with listener:
        typer.echo(f"Flow status at http://{host}:{listener.getsockname()[1]}/")
        config = uvicorn.Config(
            app,
            backlog=_BACKLOG,
            http=protocol,
            # It would take the word of whoever asks from this machine.
            proxy_headers=False,
            h11_max_incomplete_event_size=16_384,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=5,
            use_colors=False,
        )
        _make_logs_harmless()
        # What is loaded stays; each look through it would hold up every answer for 50 ms.
        gc.collect()
        gc.freeze()
        asyncio.run(_Server(config).serve([listener]))


def _make_logs_harmless() -> None:
    """Let no row and no request forge an entry, in uvicorn's log or in ours, which nobody else handles."""
    for handler in (*logging.getLogger("uvicorn").handlers, logging.lastResort):
        if handler is not None:
            handler.setFormatter(HarmlessFormatter(handler.formatter))


def _allow_files(wanted: int) -> int:
    """Let this process hold so many open files, and return how many it may hold.

    The usual 1,024 are fewer than the streams it may serve.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            typer.echo(f"Only {allowed} files may be open here, too few for all event streams.", err=True)
        return allowed
    return wanted


def _listening_socket(host: str, port: int, *, send_timeout_s: float) -> socket.socket:
    """Return a socket whose connections the kernel ends when the other side takes nothing any more.

    Raises:
        InputInvalid: another server listens there, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # The latter where the host is no name that can be looked up, or the port is none.
    except (OSError, OverflowError, ValueError) as error:
        cause = str(getattr(error, "strerror", None) or error).partition(" (")[0]
        raise InputInvalid(f"Nothing can listen on {host}:{port} ({cause}); name another.") from error
    # asyncio sets it only where it made the listener itself; without it an answer waits 40 ms for the
    # other side's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(send_timeout_s * 1000))
    return listener


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    cli()
