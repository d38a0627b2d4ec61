import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import make_url

from masterflow.domain.phases import PHASES
from masterflow.scripts.demonstration.example_checks import EXAMPLE_CHECKS
from masterflow.scripts.demonstration.flows import CONTEXT
from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis
from masterflow.scripts.sample_flow import SERVERS_CSV
from masterflow.scripts.supervise.supervisor import descendants
from tests.support.eventually import eventually
from tests.support.servers.databases import temporary_database

ROOT = Path(__file__).parents[2]
WELL, RETRY, APPROVAL = "All goes well", "An error and a retry", "Waiting for approval"

_DEMO_TIMEOUT_S = 120


class Demo:
    """A running `./scripts/demo`; it notes every process that it starts."""

    def __init__(self, folder, *options, terminal=None, **settings):
        names = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SPOOL_DIR")
        environment = {key: value for key, value in os.environ.items() if key not in names}
        self.output = folder.with_suffix(".out")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [ROOT / "scripts" / "demo", "--folder", folder, *options],
                cwd=folder.parent,
                env=environment | {"COLUMNS": "120", "TERM": "xterm"} | settings,
                stdin=terminal or subprocess.DEVNULL,
                stdout=terminal or output,
                stderr=terminal or subprocess.STDOUT,
            )
        self.family = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def meet(self):
        """Note who belongs to it now, and return whether it still runs."""
        self.family |= set(descendants(self.process.pid))
        return self.process.poll() is None

    def wait(self):
        eventually(lambda: not self.meet(), timeout_s=_DEMO_TIMEOUT_S)
        return self.process.returncode

    @property
    def left(self):
        return [pid for pid in self.family if Path(f"/proc/{pid}").exists()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, postgres_server, redis_server):
    """A demo that ran once on given servers and a user's file, and their database."""
    place = tmp_path_factory.mktemp("a project")
    shutil.copy(SERVERS_CSV, place / "my servers.csv")
    # The user's own code may be called like ours.
    for name in ("tasks.py", "celeryconfig.py", "domain.py"):
        (place / name).write_text("raise SystemExit('not this one')\n")
    with temporary_database(postgres_server) as url:
        settings = {"DATABASE_URL": url, "REDIS_URL": redis_server}
        with Demo(place / "data", "--csv", "my servers.csv", **settings) as demo:
            demo.wait()
        address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, row_factory=dict_row) as database:
            yield demo, database


@pytest.fixture
def said(finished):
    return finished[0].output.read_text()


@pytest.fixture
def masters(finished):
    rows = finished[1].execute("select * from migration.crewai_flow_state_extensions").fetchall()
    return {row["flow_name"]: row for row in rows}


def test_it_ends_by_itself_without_a_terminal_and_leaves_nothing(finished, said):
    demo, _ = finished
    assert demo.process.returncode == 0, said
    assert len(demo.family) >= 8
    assert demo.left == []


def test_it_shows_every_row_and_both_checks(said):
    for title in (WELL, RETRY, APPROVAL):
        assert f"╭─ {title}" in said
    # The one that asks is shown twice: while it waits, and at its end.
    assert said.count("tech debt assessment") == 3
    assert "so the demo approves for “Waiting for approval”" in said
    assert "No answer from postgresql://cleansing:[masked]@refdata.example/units." in said
    for sql in EXAMPLE_CHECKS.values():
        assert sql.strip() in "\n".join(line.rstrip() for line in said.splitlines())
    assert re.search(r"transitions_count +\d+ +\d+ +\d+ *\n", said)
    assert re.search(r"state_type +object +object +object", said)


def test_each_flow_has_its_status(masters):
    statuses = {title: row["flow_status"] for title, row in masters.items()}
    assert statuses == {WELL: "completed", RETRY: "completed", APPROVAL: "completed"}


def test_the_flow_that_asks_was_answered_and_ran_on(masters):
    metadata = masters[APPROVAL]["flow_metadata"]
    assert [entry["kind"] for entry in metadata["control"]] == ["asked", "answer", "settled"]
    assert metadata["control"][1]["by"] == "demo"
    assert "field_mapping_approval:paused" in metadata["phase_transitions"]


@pytest.mark.parametrize("title", [WELL, RETRY, APPROVAL])
def test_every_phase_has_a_start_an_end_and_a_time(masters, title):
    row = masters[title]
    steps = Counter((entry["phase"], entry["status"]) for entry in row["phase_transitions"])
    for phase in PHASES:
        assert steps[phase, "processing"] >= 1
        assert steps[phase, "completed"] >= 1
        assert row["phase_execution_times"][phase]["execution_time_ms"] > 0
    assert set(row["phase_execution_times"]) == set(PHASES)


def test_the_newest_snapshot_is_there(masters):
    assert masters[WELL]["flow_metadata"]["last_progress_update"]["progress"] == 100
    assert masters[APPROVAL]["flow_metadata"]["last_progress_update"]["progress"] == 100
    assert masters[APPROVAL]["flow_persistence_data"]["current_phase"] == "finalization"


def test_errors_and_retries_are_counted_where_they_happened(masters):
    failed = {title: [entry["phase"] for entry in row["error_history"]] for title, row in masters.items()}
    assert failed == {WELL: [], RETRY: ["data_cleansing"], APPROVAL: []}
    assert {title: row["retry_count"] for title, row in masters.items()} == {WELL: 0, RETRY: 1, APPROVAL: 0}


def test_agents_and_memory_are_told(masters):
    for row in masters.values():
        assert row["agent_collaboration_log"]
        assert row["agent_performance_metrics"]["Schema Expert"]["items"] == 17
        assert row["memory_usage_metrics"]["peak_memory_mb"] > 0


def test_the_example_checks_return_sensible_rows_as_written(finished, masters):
    _, database = finished
    found = {}
    for title, row in masters.items():
        for name, sql in EXAMPLE_CHECKS.items():
            filled_in = sql.replace(":flow_id", f"'{row['flow_id']}'").replace(
                ":client", f"'{CONTEXT.client_account_id}'"
            )
            found[title, name] = database.execute(filled_in).fetchall()
    timed = found[WELL, "master"]
    assert {row["phases_timed"] for row in timed} == set(PHASES)
    assert {row["transitions_count"] for row in timed} == {len(masters[WELL]["phase_transitions"])}
    assert {(row["flow_status"], row["current_phase"]) for row in timed} == {("completed", "finalization")}
    assert found[WELL, "child"] == [
        {"progress_percentage": 100.0, "current_phase": "finalization", "state_type": "object"}
    ]
    assert found[APPROVAL, "master"][0]["flow_status"] == "completed"
    assert found[APPROVAL, "child"][0]["progress_percentage"] == 100


# -- on a terminal, with embedded servers


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded demo") / "data"
    yield folder
    EmbeddedPostgres(folder / "postgres").remove()
    EmbeddedRedis(folder / "redis").remove()


class Screen:
    """A terminal, and what stands on it."""

    def __init__(self):
        self._own_end, self.far_end = pty.openpty()
        os.set_blocking(self._own_end, False)
        self.text = ""

    def read(self):
        with contextlib.suppress(BlockingIOError):
            self.text += os.read(self._own_end, 1 << 16).decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text)

    def type(self, text):
        os.write(self._own_end, text.encode())

    def close(self):
        os.close(self._own_end)
        os.close(self.far_end)


@pytest.fixture
def screen():
    screen = Screen()
    yield screen
    screen.close()


def flowctl(settings, *arguments):
    """Run flowctl as the guide says, in another shell; return what it printed."""
    command = shlex.join(["flowctl", *arguments])
    shell = ["bash", "-c", f". {shlex.quote(str(settings))} && {command}"]
    return subprocess.run(shell, capture_output=True, text=True, timeout=60, check=True).stdout


def test_on_a_terminal_it_stays_until_it_is_interrupted_and_leaves_nothing(data_folder, screen):
    settings = data_folder / "settings.sh"
    with Demo(data_folder, "--pace", "0.02", terminal=screen.far_end, COLUMNS="60") as demo:
        eventually(lambda: not demo.meet() or "Ctrl-C" in screen.read(), timeout_s=_DEMO_TIMEOUT_S)
        said = screen.read()
        assert demo.meet(), said
        # Told before the flows and after them, on lines of their own that nothing breaks.
        lines = said.replace("\r", "").splitlines()
        pages = [line for line in lines if line.startswith("http://127.0.0.1:")]
        assert pages[:2] == pages[2:]
        assert [status_of(page) for page in pages] == [401, 200, 401, 200]
        assert all(len(page) <= 60 for page in pages)
        command = shlex.join([str(ROOT / "scripts" / "demo"), "--folder", str(data_folder), "--another"])
        assert [lines.count(line) for line in (f". {shlex.quote(str(settings))}", command)] == [2, 2]
        assert settings.stat().st_mode & 0o077 == 0
        [asking] = json.loads(flowctl(settings, "inbox", "--json"))
        flowctl(settings, "flow", "answer", asking["flow_id"], "--answer", "approve")
        eventually(lambda: "finalization" in screen.read().partition("Ctrl-C")[2], timeout_s=30)
        assert flowctl(settings, "inbox", "--json").strip() == "[]"
        subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=60)
        eventually(lambda: f"Another flow begins: “{WELL}”" in screen.read(), timeout_s=30)
        screen.type("\n")
        eventually(lambda: f"Another flow begins: “{RETRY}”" in screen.read(), timeout_s=30)
        ends = [f"╭─ {title}" for title in (WELL, RETRY)]
        eventually(lambda: all(screen.read().count(end) == 2 for end in ends), timeout_s=60)
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait() == 0, screen.read()
    assert demo.left == []
    assert not settings.exists()
    assert "Traceback" not in screen.read()


@pytest.mark.long("15")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_it_is_ended_midway(data_folder, number):
    with Demo(data_folder, "--once") as demo:
        eventually(lambda: demo.meet() and len(demo.family) >= 10, timeout_s=_DEMO_TIMEOUT_S)
        demo.process.send_signal(number)
        demo.wait()
    assert demo.process.returncode in {-number, 128 + number}
    eventually(lambda: not demo.left, timeout_s=30)
    assert "Traceback" not in demo.output.read_text()


def status_of(page):
    try:
        with urllib.request.urlopen(page, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


# -- what it refuses


@pytest.mark.parametrize(
    ("options", "settings", "sentence"),
    [
        (["--csv", "empty.csv"], {}, "empty.csv is empty; it needs a header line"),
        ([], {"DATABASE_URL": "mysql://localhost/flows"}, "Set DATABASE_URL to postgresql+psycopg://"),
        (
            [],
            {
                "DATABASE_URL": "postgresql://user:secret@127.0.0.1:1/flows",
                "REDIS_URL": "redis://127.0.0.1:1",
            },
            "Postgres does not answer",
        ),
    ],
    ids=["a file", "a setting", "a server"],
)
def test_what_it_cannot_use_is_told_in_one_sentence(tmp_path, options, settings, sentence):
    (tmp_path / "empty.csv").touch()
    settings = {"REDIS_URL": "redis://127.0.0.1:1", **settings}
    with Demo(tmp_path / "data", *options, **settings) as demo:
        assert demo.wait() != 0
    said = demo.output.read_text()
    assert said.startswith(sentence)
    assert said.count("\n") == 1
    assert "secret" not in said


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path):
    (tmp_path / "data").touch()
    with Demo(tmp_path / "data") as demo:
        assert demo.wait() == 1
    assert demo.output.read_text().endswith("name another --folder.\n")


def test_another_flow_where_no_demo_runs_is_refused_in_one_sentence(tmp_path):
    with Demo(tmp_path / "data", "--another") as demo:
        assert demo.wait() == 1
    said = demo.output.read_text()
    assert said.startswith(f"No demo runs in {tmp_path / 'data'}; start one with ./scripts/demo")
    assert said.count("\n") == 1


def test_two_demos_do_not_share_a_folder(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with Demo(folder) as demo:
            assert demo.wait() == 1
    assert demo.output.read_text() == f"Another demo uses {folder}; end it, or name another --folder.\n"
