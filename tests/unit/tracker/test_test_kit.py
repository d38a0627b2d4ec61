import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterflow import tracker
from masterflow.domain import FlowContext
from masterflow.domain.events import AgentCollaborated, FlowRetried, PhaseTimed
from masterflow.scripts.doctor.outbox import check_outbox
from masterflow.tracker import outbox_status
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.testing import flow_reports
from tests.support.events.reported import CONTEXT, FLOW_ID

ROOT = Path(__file__).parents[3]


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    tracker.shutdown(0)
    monkeypatch.setenv("ENRICHMENT_OUTBOX", "off")
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path / "spool"))
    yield tmp_path / "spool"
    tracker.shutdown(0)


def say(count: int = 1, flow_id=FLOW_ID, context: FlowContext = CONTEXT) -> None:
    for number in range(count):
        tracker.report(AgentCollaborated, context, flow_id, entry={"n": number})


def test_with_the_outbox_off_reports_stay_in_memory(off, quiet_losses, caplog):
    say(3)
    assert caplog.text.count("ENRICHMENT_OUTBOX=off") == 1
    status = outbox_status()
    assert (status["outbox"], status["kept_events"], status["forgotten_events"]) == ("off", 3, 0)
    assert status["lost"] == {}
    assert tracker.flush(0)
    assert tracker.adopt() == 0
    assert tracker.shutdown(0)
    assert not off.exists()


def test_the_doctor_finds_an_outbox_that_is_off(off):
    [result] = check_outbox()
    assert result.level == "problem"
    assert "ENRICHMENT_OUTBOX is off" in result.found


def test_what_stays_in_memory_is_bounded(off):
    say(10_005)
    status = outbox_status()
    assert (status["kept_events"], status["forgotten_events"]) == (10_000, 5)


def test_once_the_outbox_is_on_again_reports_reach_the_disk(off, monkeypatch):
    say()
    tracker.shutdown(0)
    monkeypatch.delenv("ENRICHMENT_OUTBOX")
    monkeypatch.setattr("masterflow.tracker.outbox.delivery.Delivery.start", lambda self: None)
    say()
    assert "outbox" not in outbox_status()
    assert list(off.glob("*/*.log"))


def test_reports_are_typed_events_in_order(told):
    say(2)
    tracker.report(FlowRetried, CONTEXT, "another")
    assert [event.kind for event in told] == ["agent_collaborated"] * 2 + ["flow_retried"]
    assert [event.entry["n"] for event in told.of(AgentCollaborated)] == [0, 1]
    assert len(told.of_flow("another")) == 1
    assert told[0:1] == [told[0]]
    told.clear()
    assert len(told) == 0
    assert told.snapshot == {}
    assert told.facts("none:completed") == {}


def test_a_shutdown_of_the_code_under_test_does_not_let_reports_out(told):
    say()
    tracker.shutdown(0)
    say()
    assert len(told) == 2


def test_reports_of_a_test_within_a_test_are_its_own(told):
    with flow_reports() as inner:
        say()
    say()
    assert (len(inner), len(told)) == (1, 1)
    assert process_delivery.memory is not None


def test_a_phase_says_what_it_did(tracker, told):
    tracker.start_phase("data_import")
    tracker.report_error("no file")
    tracker.complete_phase("data_import")
    assert told.phases == {"data_import": "completed"}
    assert told.errors == [("data_import", "no file")]
    assert len(told.of(PhaseTimed)) == 1


def pytest_in(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **settings}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_page_on_testing_does_what_it_says(tmp_path):
    blocks = (ROOT / "docs/testing.md").read_text().split("```python\n")[1:]
    for block in blocks:
        text = block.split("```")[0]
        name = text.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(text)
    (tmp_path / "conftest.py").unlink()
    done = pytest_in(tmp_path, "-W", "error")
    assert "2 passed" in done.stdout
    assert not list(tmp_path.rglob("*.log"))


def test_the_plug_in_loads_nothing_until_a_test_asks(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys\n\n\ndef test_nothing():\n"
        "    loaded = {name.split('.')[0] for name in sys.modules}\n"
        "    assert 'masterflow' in loaded\n"
        "    assert not loaded & {'celery', 'pydantic', 'redis', 'sqlalchemy'}\n"
    )
    done = pytest_in(
        tmp_path, "-W", "error", "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:celery"
    )
    assert "1 passed" in done.stdout, done.stdout


def test_processes_that_a_test_starts_keep_their_reports_in_memory_too(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import subprocess, sys\n\n\ndef test_it(flow_reports):\n"
        "    program = 'from masterflow import outbox_status, flush; from masterflow.tracker import report;"
        " from masterflow.domain.events import FlowRetried; from masterflow import FlowContext; import uuid;"
        " report(FlowRetried, FlowContext(client_account_id=uuid.UUID(int=1), engagement_id=uuid.UUID(int=2),"
        ' user_id="u"), "x"); print(outbox_status())\'\n'
        "    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)\n"
        "    assert \"'kept_events': 1\" in done.stdout, done.stderr\n"
    )
    assert "1 passed" in pytest_in(tmp_path).stdout
    assert not list(tmp_path.rglob("*.log"))
