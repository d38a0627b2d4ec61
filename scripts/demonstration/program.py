"""The demo as a program: `./scripts/demo`, with `--once`, with `--csv FILE`, or with `--crewai`."""

import fcntl
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from masterflow.domain import EnrichmentError
from masterflow.scripts.celery_commands import ROOT
from masterflow.scripts.demonstration.crew_flow import perform_crew
from masterflow.scripts.demonstration.encores import Encores, ask_for_another
from masterflow.scripts.demonstration.flows import CONTEXT, Act
from masterflow.scripts.demonstration.performance import (
    RunningAct,
    answer_for_all,
    perform,
    set_the_stage,
    show_end,
)
from masterflow.scripts.demonstration.servers import Crew, running_servers
from masterflow.scripts.demonstration.stage import print_guide
from masterflow.scripts.sample_flow import SERVERS_CSV, Scenario, check_csv
from masterflow.scripts.terminal.text import terminal_text

_SHARED_SETTINGS: Final = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SPOOL_DIR")

#: What each step takes for somebody who looks: half a minute a flow; and where nobody does.
_PACE_S: Final = 1.0
_QUICK_S: Final = 0.06

_LOOK_INTERVAL_S: Final = 0.5

_FOLDER: Final = ROOT / ".local" / "demo"
_DEMO: Final = ROOT / "scripts" / "demo"

app = typer.Typer(add_completion=False)


class FolderUnusable(EnrichmentError):
    """The demo cannot keep its data where it should."""


@app.command()
def main(
    *,
    csv: Annotated[Path, typer.Option(help="The servers to discover.")] = SERVERS_CSV,
    crewai: Annotated[
        bool, typer.Option("--crewai", help="Run an unmodified flow of crewAI, with a scripted model.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="End by itself; without a terminal it does.")] = False,
    pace: Annotated[
        float | None,
        typer.Option(min=0, max=60, help="Seconds of each step; a flow of the sample has about 30."),
    ] = None,
    another: Annotated[
        bool, typer.Option("--another", help="Let the demo that runs begin another flow.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = _FOLDER,
) -> None:
    """Run three real flows through a real worker, and show the rows they fill."""
    console, folder = Console(highlight=False), folder.absolute()
    if another:
        ask_for_another(folder)
        console.print("The demo begins another flow; look at its page.")
        return
    stays = not once and sys.stdin.isatty() and console.is_terminal
    pace_s = pace if pace is not None else _PACE_S if stays else _QUICK_S
    if crewai:
        require_own_csv(csv)
    with ended_by_signals():
        remarks = check_csv(csv)
        with reserved(folder), running_servers(folder) as settings:
            os.environ.update(settings)
            os.environ.setdefault("ENRICHMENT_SPOOL_DIR", str(folder / "spool"))
            set_the_stage()
            with Crew(folder) as crew, settings_file(folder) as settings_path:
                crew.start_celery()
                show = Show(console, crew, settings_path, csv, pace_s=pace_s, is_crewai=crewai)
                if stays:
                    encores = Encores(folder)
                    show.open()
                show.run(stays=stays)
                for remark in remarks:
                    console.print(terminal_text(remark))
                if stays:
                    show.stay(encores)


class Show:
    """What people see: the flows, where to look, and what runs on until they have seen enough."""

    def __init__(
        self, console: Console, crew: Crew, settings_path: Path, csv: Path, *, pace_s: float, is_crewai: bool
    ) -> None:
        self._console = console
        self._crew = crew
        self._settings_path = settings_path
        self._csv = csv
        self._pace_s = pace_s
        self._is_crewai = is_crewai
        self._scenarios = cycle(Scenario)
        self._running: list[RunningAct] = []

    def open(self) -> None:
        """Start the page and say where it is, before anything happens there."""
        self._crew.start_page(CONTEXT)
        self._crew.wait_until_visible()
        self.guide()

    def run(self, *, stays: bool) -> None:
        """Run the flows; let people who look answer the one that asks, or answer for them."""
        if self._is_crewai:
            self._perform_crew()
            return
        asking = perform(self._console, self._csv, self._crew, pace_s=self._pace_s)
        if stays:
            self._running.append(asking)
            self._say_that_it_asks(asking.act)
        else:
            answer_for_all(self._console, self._crew, asking)

    def guide(self) -> None:
        """Say where to look."""
        print_guide(
            self._console,
            {
                **self._crew.places,
                "In another shell": f". {shlex.quote(str(self._settings_path))}\nflowctl flow list",
                "For another flow press Enter here, or there": shlex.join([*self._command, "--another"]),
            },
        )

    def stay(self, encores: Encores) -> None:
        """Keep everything running until Ctrl-C, begin what is asked for, and show what ends."""
        self.guide()
        self._console.print("Everything runs until you press [bold]Ctrl-C[/bold].")
        try:
            while True:
                for _ in range(encores.wait(_LOOK_INTERVAL_S)):
                    self._begin_another()
                self._crew.check()
                for one in [one for one in self._running if one.is_over]:
                    self._running.remove(one)
                    show_end(self._console, self._crew, one)
        except KeyboardInterrupt:
            self._console.print("\nEnding everything ...")

    @property
    def _command(self) -> list[str]:
        folder = self._settings_path.parent
        return [str(_DEMO), *([] if folder == _FOLDER else ["--folder", str(folder)])]

    def _begin_another(self) -> None:
        if self._is_crewai:
            self._perform_crew()
            return
        act = Act(next(self._scenarios))
        self._console.print(f"Another flow begins: “{act.title}”.")
        self._running.append(RunningAct(act, self._csv, self._tell, pace_s=self._pace_s))

    def _tell(self, act: Act, doing: str, _percent: int | None) -> None:
        if doing == "waiting_for_approval":
            self._say_that_it_asks(act)

    def _say_that_it_asks(self, act: Act) -> None:
        self._console.print(f"“{act.title}” asks you something: answer on its page, and it runs on.\n")

    def _perform_crew(self) -> None:
        log = self._settings_path.parent / "crewai.log"
        perform_crew(self._console, self._crew, log, pace_s=self._pace_s)


def require_own_csv(csv: Path) -> None:
    """Make sure that nobody wants the flow of crewAI to read a file.

    Raises:
        BadParameter: somebody does.
    """
    if csv != SERVERS_CSV:
        raise typer.BadParameter("The flow of crewAI reads the sample's servers; leave out --csv.")


@contextmanager
def settings_file(folder: Path) -> Iterator[Path]:
    """Keep a file of what another shell needs to read the demo's rows, while they can be read."""
    path = folder / "settings.sh"
    path.touch(mode=0o600)
    values = {name: os.environ[name] for name in _SHARED_SETTINGS if name in os.environ} | {
        "FLOWCTL_CLIENT": str(CONTEXT.client_account_id),
        "FLOWCTL_ENGAGEMENT": str(CONTEXT.engagement_id),
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
    # So that a command is short enough for a narrow terminal.
    lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n')
    path.write_text("".join(lines))
    try:
        yield path
    finally:
        path.unlink()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let signals that end a process take everything down first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Hold the folder, so that two demos do not share it.

    Raises:
        FolderUnusable: another demo holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        logging.basicConfig(filename=folder / "demo.log", filemode="w", force=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise FolderUnusable(
            f"{folder} cannot be written ({error.strerror}); name another --folder."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderUnusable(f"Another demo uses {folder}; end it, or name another --folder.") from error
        yield
