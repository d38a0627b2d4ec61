import json
import subprocess
import sys
from pathlib import Path

import pytest

from masterflow.scripts.doctor.outbox import check_outbox

LEAVE_AN_EVENT = """
import os, uuid
from masterflow import tracker
from masterflow.domain.events import FlowRetried
from masterflow.domain.tenant import flow_context
tracker.report(FlowRetried, flow_context(uuid.uuid4(), uuid.uuid4(), "ann"), uuid.uuid4())
os._exit(0)
"""


def lose_the_lock(folder: Path) -> None:
    (folder / "lock").unlink()


def put_a_folder_in_its_place(folder: Path) -> None:
    (folder / "lock").unlink()
    (folder / "lock").mkdir()


@pytest.fixture(params=[lose_the_lock, put_a_folder_in_its_place])
def sick_folder(request, tmp_path, monkeypatch, nothing_listens):
    spool = tmp_path / "spool"
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(spool))
    subprocess.run([sys.executable, "-c", LEAVE_AN_EVENT], cwd=Path(__file__).parents[3], check=True)
    [folder] = spool.iterdir()
    request.param(folder)
    return folder


def test_what_cannot_be_looked_at_is_never_told_as_nothing(flowctl, sick_folder):
    [found] = json.loads(flowctl("outbox", "status", "--json")[1])
    assert found["name"] == sick_folder.name
    assert "lock is gone" in found["trouble"] or "cannot be read" in found["trouble"]
    assert "Nothing waits" not in flowctl("outbox", "status")[1]
    code, _, complaint = flowctl("outbox", "flush", "--timeout", "0.1")
    assert code == 1
    assert found["trouble"] in complaint


def test_doctor_names_what_cannot_be_looked_at(sick_folder):
    [problem] = [result for result in check_outbox() if result.name == "outbox folders"]
    assert problem.level == "problem"
    assert sick_folder.name in problem.found
    assert "chown" in problem.advice
