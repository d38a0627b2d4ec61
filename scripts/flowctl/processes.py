"""`flowctl worker`, `beat` and `flower`: each turns into a Celery process with this project's app."""

import os
import sys
from typing import Annotated, Final

import typer

from masterflow.scripts.terminal.text import say

#: Options that are not ours go to Celery.
PASS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


def worker(context: typer.Context) -> None:
    """Run a worker; every option of `celery worker` works here too."""
    from masterflow.repository.settings import DatabaseSettings
    from masterflow.scripts import celery_commands
    from masterflow.tasks.notices.receivers import NoticeSettings

    celery_commands.require_celery()
    DatabaseSettings()
    NoticeSettings()
    _become(celery_commands.worker(*context.args))


def beat(context: typer.Context) -> None:
    """Run beat, of which there has to be exactly one; every option of `celery beat` works here too."""
    from masterflow.scripts import celery_commands

    celery_commands.require_celery()
    _become(celery_commands.beat(*context.args))


def flower(
    context: typer.Context,
    address: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5555,
) -> None:
    """Run Flower, for those who know the user and password in FLOWER_BASIC_AUTH (by default a random one)."""
    from masterflow.scripts import celery_commands

    celery_commands.require_free(address, port)
    if not os.environ.get("FLOWER_BASIC_AUTH"):
        import secrets

        password = secrets.token_urlsafe(12)
        os.environ["FLOWER_BASIC_AUTH"] = f"flower:{password}"
        host = f"[{address}]" if ":" in address else address
        say(f"http://{host}:{port} is for the user 'flower' with the password '{password}'.")
    _become(celery_commands.flower(*context.args, address=address, port=port))


def _become(command: list[str]) -> None:
    from masterflow.scripts.celery_commands import ROOT
    from masterflow.tasks.settings import QueueSettings, WorkerSettings

    QueueSettings()
    WorkerSettings()
    os.chdir(ROOT)
    os.execv(sys.executable, command)
