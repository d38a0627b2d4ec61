"""Processes that report events, as a user's orchestrator would, and note what they reported."""

import os
import sys
from pathlib import Path

from masterflow.scripts.supervise.processes import SupervisedProcess

_ROOT = Path(__file__).parents[3]

_PROLOGUE = """
import os, sys, threading, time, uuid
from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import AgentCollaborated, FlowRetried, PhaseTransitioned, StatusChanged

context = FlowContext(client_account_id=uuid.UUID(int=1), engagement_id=uuid.UUID(int=2), user_id="ann")
notes = os.open("accepted", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def say(count=1):
    for _ in range(count):
        event_id, entry = str(uuid.uuid4()), {"text": "x" * 200}
        tracker.report(AgentCollaborated, context, uuid.UUID(int=3), event_id=event_id, entry=entry)
        os.write(notes, f"{event_id}\\n".encode())  # Only once the hook has returned.

"""


class Orchestrator:
    """Runs a few lines of Python in which `say(count)` reports events."""

    def __init__(self, folder: Path, lines: str, **settings: str) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **settings}
        self.process = SupervisedProcess(
            [sys.executable, "-W", "error", "-c", _PROLOGUE + lines],
            env=environment,
            folder=folder,
            log=self.log,
        )

    def wait(self, timeout_s: float = 30) -> int:
        return self.process.wait(timeout_s)

    @property
    def accepted(self) -> list[str]:
        """The ids of the events whose hook has returned."""
        notes = self.folder / "accepted"
        return notes.read_text().split() if notes.exists() else []
