import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    FlowRetried,
    PhaseTransitioned,
    StatusChanged,
)
from masterflow.domain.events import new_event as event_of
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.database import with_session
from tests.support.events.flows import new_context
from tests.support.eventually import eventually

FLOWCTL = Path(sys.executable).with_name("flowctl")
CONTEXT = new_context()
TENANT = ["--client", CONTEXT.client_account_id, "--engagement", CONTEXT.engagement_id]


def new_flow(name="Berlin", context=CONTEXT):
    flow_id = uuid4()

    async def make(session):
        tenant = (context.client_account_id, context.engagement_id, context.user_id)
        repository = CrewAIFlowStateExtensionsRepository(session, *tenant)
        await repository.create_master_flow(flow_id, "discovery", flow_name=name)

    with_session(make)
    return flow_id


def report(flow_id, kind, context=CONTEXT, **fields):
    with_session(lambda session: apply_events(session, [event_of(kind, context, flow_id, **fields)]))


class Running:
    """A command that goes on, and what it has written so far."""

    def __init__(self, process, descriptor):
        self.process = process
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read, args=(descriptor,), daemon=True)
        self._reader.start()

    def _read(self, descriptor):
        # A terminal whose last program is gone answers with an error.
        try:
            while part := os.read(descriptor, 65_536):
                self._written += part
        except OSError:
            pass

    @property
    def said(self):
        return self._written.decode(errors="replace")

    @property
    def documents(self):
        return [json.loads(line) for line in self.said.splitlines()[: self.said.count("\n")]]

    def says(self, text, *, timeout_s=15):
        eventually(lambda: text in self.said or self.process.poll() is not None, timeout_s=timeout_s)
        assert text in self.said, self.said

    def attends(self):
        assert self.process.stderr.readline() == b"Following from now on; Ctrl-C ends it.\n"

    def interrupt(self):
        """Press Ctrl-C; return the exit code and what was said on stderr."""
        self.process.send_signal(signal.SIGINT)
        complaint = self.process.stderr.read().decode() if self.process.stderr else ""
        code = self.process.wait(timeout=20)
        self._reader.join(timeout=10)
        return code, complaint


@contextmanager
def running(*arguments, in_terminal=False):
    command = [str(FLOWCTL), *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "150", "LINES": "50", "TERM": "xterm"}
    if in_terminal:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
    else:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        ours = process.stdout.fileno()
    try:
        yield Running(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        if in_terminal:
            os.close(ours)


# -- flow watch


def test_a_flow_is_drawn_anew_on_a_terminal_until_it_is_interrupted(database_setting):
    flow_id = new_flow()
    with running("flow", "watch", flow_id, *TENANT, in_terminal=True) as watch:
        watch.says("Ctrl-C ends this.")
        assert "Berlin" in watch.said
        report(flow_id, ErrorOccurred, phase="data_import", error="No such host.")
        watch.says("No such host.")
        code, _ = watch.interrupt()
        assert code == 0
        assert "Traceback" not in watch.said
        assert "Aborted" not in watch.said
        assert watch.said.rindex("\x1b[?25h") > watch.said.rindex("\x1b[?25l")


def test_the_list_is_drawn_anew_on_a_terminal(database_setting):
    with running("flow", "watch", *TENANT, in_terminal=True) as watch:
        watch.says("no flows yet")
        flow_id = new_flow("Paris")
        watch.says(str(flow_id))
        report(flow_id, StatusChanged, status="failed")
        watch.says("failed")
        assert watch.interrupt()[0] == 0


def test_without_a_terminal_there_is_a_line_for_what_is_there_and_for_each_change(database_setting):
    first, second = new_flow("Berlin"), new_flow("Paris")
    stranger = new_context()
    with running("flow", "watch", *TENANT) as watch:
        eventually(lambda: watch.said.count("\n") == 2, timeout_s=15)
        assert re.findall("Berlin|Paris", watch.said) == ["Berlin", "Paris"]
        new_flow("Rome", stranger)
        report(first, StatusChanged, status="waiting_for_approval")
        eventually(lambda: watch.said.count("\n") == 3, timeout_s=15)
        last = watch.said.splitlines()[-1]
        assert str(first) in last
        assert "waiting for approval" in last
        assert watch.interrupt() == (0, "")
        assert str(second) in watch.said
        assert "Rome" not in watch.said
        assert "\x1b" not in watch.said


def test_a_program_gets_an_object_for_each_change(database_setting):
    flow_id, other = new_flow(), new_flow("Paris")
    with running("flow", "watch", flow_id, *TENANT, "--json") as watch:
        eventually(lambda: len(watch.documents) == 1, timeout_s=15)
        report(other, FlowRetried)
        report(flow_id, ErrorOccurred, phase="data_import", error="No such host.")
        eventually(lambda: len(watch.documents) == 2, timeout_s=15)
        before, after = watch.documents
        assert before["errors"] == []
        assert [error["error"] for error in after["errors"]] == ["No such host."]
        assert watch.interrupt() == (0, "")
    with running("flow", "watch", *TENANT, "--json") as watch:
        eventually(lambda: len(watch.documents) == 2, timeout_s=15)
        report(other, FlowRetried)
        eventually(lambda: len(watch.documents) == 3, timeout_s=15)
        assert (watch.documents[2]["flow_id"], watch.documents[2]["retry_count"]) == (str(other), 2)


@pytest.mark.parametrize("command", [["flow", "watch"], ["events", "tail", "--flow"]], ids=" ".join)
def test_a_flow_that_is_not_there_ends_it(flowctl, database_setting, command):
    flow_id = uuid4()
    code, said, complaint = flowctl(*command, flow_id, *TENANT)
    assert (code, said, complaint) == (1, "", f"There is no flow {flow_id}.\n")


@pytest.mark.parametrize("command", [["flow", "watch"], ["events", "tail"]], ids=" ".join)
def test_a_database_that_is_away_from_the_start_ends_it(flowctl, nothing_listens, command):
    code, said, complaint = flowctl(*command, *TENANT)
    assert (code, said, complaint.count("\n")) == (3, "", 1)
    assert "Postgres does not answer" in complaint


@pytest.mark.long("events tail")
@pytest.mark.parametrize("command", [["flow", "watch"], ["events", "tail"]], ids=" ".join)
def test_a_database_that_goes_away_is_waited_for(own_postgres, monkeypatch, command):
    monkeypatch.setenv("DATABASE_URL", own_postgres.url)
    flow_id = new_flow()
    with running(*command, *TENANT, "--json") as watch:
        if command == ["events", "tail"]:
            watch.attends()
        else:
            eventually(lambda: watch.said, timeout_s=15)
        report(flow_id, FlowRetried)
        eventually(lambda: 'retry_count": 1' in watch.said.replace(":1", ": 1") or '"retry"' in watch.said)
        own_postgres.stop()
        complaint = watch.process.stderr.readline().decode()
        own_postgres.start()
        lines = watch.said.count("\n")
        report(flow_id, StatusChanged, status="failed")
        eventually(lambda: watch.said.count("\n") > lines, timeout_s=20)
        assert watch.documents[-1]["status"] == "failed"
        # The word may come after the news itself.
        assert b"Postgres answers again.\n" in iter(watch.process.stderr.readline, b"")
        assert watch.interrupt() == (0, "")
    assert complaint.endswith("Waiting for it.\n")


# -- events tail


@pytest.mark.long
def test_what_is_new_is_told_once_and_what_was_there_is_not(database_setting):
    flow_id = new_flow()
    report(flow_id, ErrorOccurred, phase="data_import", error="An old error.")
    with running("events", "tail", *TENANT, "--json") as tail:
        tail.attends()
        report(flow_id, PhaseTransitioned, phase="data_import", status="completed")
        report(flow_id, ErrorOccurred, phase="field_mapping", error="No such column.")
        entry = {"agent": "Cleaner", "activity": "looked again"}
        report(flow_id, AgentCollaborated, entry=entry)
        report(flow_id, FlowRetried)
        report(flow_id, StatusChanged, status="failed")
        eventually(lambda: {"status", "retry"} <= {item["kind"] for item in tail.documents}, timeout_s=15)
        paris = new_flow("Paris")
        eventually(lambda: tail.documents[-1]["flow_id"] == str(paris), timeout_s=15)
        assert tail.interrupt() == (0, "")
        told = [(item["kind"], item["text"]) for item in tail.documents if item["flow_id"] == str(flow_id)]
    assert ("transition", "data_import completed") in told
    assert ("error", "No such column.") in told
    assert ("activity", "Cleaner: looked again") in told
    assert ("retry", "retry 1") in told
    assert ("status", "failed") in [(kind, text.split()[-1]) for kind, text in told]
    assert len(told) == len(set(told))
    assert "An old error." not in tail.said
    error = next(item for item in tail.documents if item["kind"] == "error")
    assert error.keys() == {"at", "flow_id", "flow_name", "status", "phase", "kind", "text", "entry"}
    assert (error["flow_name"], error["phase"], error["entry"]["error"]) == (
        "Berlin",
        "field_mapping",
        "No such column.",
    )
    assert tail.documents[-1]["kind"] == "created"


def test_people_read_a_line_and_only_of_the_flow_they_mean(database_setting):
    flow_id, other = new_flow(), new_flow("Paris")
    with running("events", "tail", "--flow", flow_id, *TENANT) as tail:
        tail.attends()
        report(other, ErrorOccurred, phase="data_import", error="Somewhere else.")
        report(flow_id, ErrorOccurred, phase="data_import", error="No \x1b[2J such host.")
        tail.says("such host.")
        assert tail.interrupt() == (0, "")
    [line] = tail.said.splitlines()
    assert str(flow_id) in line
    assert "Berlin" in line
    assert "error" in line
    assert "data import: No" in line
    assert "\x1b" not in line


@pytest.mark.long
def test_of_a_flow_that_had_ended_only_what_is_new_is_told(database_setting):
    flow_id = new_flow()
    report(flow_id, ErrorOccurred, phase="data_import", error="An old error.")
    report(flow_id, StatusChanged, status="failed")
    with running("events", "tail", *TENANT, "--json") as tail:
        tail.attends()
        # Nobody looked at it before, since only open flows were.
        report(flow_id, FlowRetried)
        report(flow_id, ErrorOccurred, phase="data_import", error="Another error.")
        report(flow_id, StatusChanged, status="processing")
        eventually(lambda: "Another error." in tail.said, timeout_s=15)
        assert tail.interrupt() == (0, "")
    assert "An old error." not in tail.said
    assert "created" not in {item["kind"] for item in tail.documents}
