"""The commands that start Celery's processes with this project's app: worker, beat and Flower."""

import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from masterflow.domain import InputInvalid, SettingsInvalid

#: Where to run them: Celery puts its folder first on the path, and a user's may hold a `tasks` of its own.
ROOT: Final = Path(__file__).resolve().parents[1]

_MOST_FLOWER_TASKS: Final = 10_000
_LEAST_CELERY: Final = (5, 7)


def worker(*options: str) -> list[str]:
    """Return the command of a worker; later options win."""
    return _celery("worker", "--loglevel=INFO", "--without-gossip", "--without-mingle", *options)


def beat(*options: str) -> list[str]:
    """Return the command of beat, of which there has to be exactly one."""
    return _celery("beat", "--loglevel=INFO", *options)


def flower(*options: str, address: str, port: int) -> list[str]:
    """Return the command of a Flower that only shows, remembers little, and keeps no file.

    The name and password come from FLOWER_BASIC_AUTH, so that no list of processes shows them.
    """
    place = [f"--address={address}", f"--port={port}"]
    limits = [
        "--read-only",
        f"--max-tasks={_MOST_FLOWER_TASKS}",
        "--persistent=false",
        "--enable-events=false",
    ]
    return _celery("flower", *place, *limits, *options, app="masterflow.scripts.flower_app")


def require_celery() -> None:
    """Make sure that this Celery is one that our worker knows the inside of.

    Raises:
        SettingsInvalid: it is older.
    """
    found = version("celery")
    if tuple(map(int, found.split(".")[:2])) < _LEAST_CELERY:
        raise SettingsInvalid(
            f"Worker and beat want Celery 5.7 or newer, and this is {found}; install them apart"
            " from your application: pip install 'masterflow[worker]'."
        )


def require_free(address: str, port: int) -> None:
    """Make sure that a server can listen there.

    Raises:
        InputInvalid: another one does, or this machine has no such address.
    """
    try:
        family, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(place[:2], family=family):
            return
    # The latter where the name is none that can be looked up.
    except (OSError, ValueError) as error:
        cause = str(getattr(error, "strerror", None) or error).partition(" (")[0]
        raise InputInvalid(f"Nothing can listen on {address}:{port} ({cause}); name another.") from error


def _celery(*arguments: str, app: str = "masterflow.tasks.app") -> list[str]:
    return [sys.executable, "-m", "celery", "--app", app, *arguments]
