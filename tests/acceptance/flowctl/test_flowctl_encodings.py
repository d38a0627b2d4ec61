import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from masterflow.domain.events import ErrorOccurred, StatusChanged, new_event
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.database import with_session
from tests.support.events.flows import new_context

PYTHON = sys.executable
FLOWCTL = str(Path(sys.executable).with_name("flowctl"))
CONTEXT = new_context()
NAME = "Größe 流れ 🚀"

ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "utf-16": {"PYTHONIOENCODING": "utf-16"},
    "no locale": {"LANG": "C", "LC_ALL": "POSIX"},
    "no UTF-8 at all": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
#: Every entrance, and a way in which it says something that ASCII lacks.
ENTRANCES = [
    [FLOWCTL, "flow", "list"],
    [FLOWCTL, "flow", "show", "FLOW"],
    [FLOWCTL, "doctor"],
    [FLOWCTL, "health", "beat"],
    [FLOWCTL, "dead", "import", "流.json"],
    [FLOWCTL, "token", "--user", "流", "--lifetime", "流"],
    [FLOWCTL, "流"],
    [PYTHON, "-m", "masterflow.scripts.maintenance.backfill_master_state_from_child", "--since", "流"],
    [PYTHON, "-m", "masterflow.scripts.sample_flow", "--csv", "流.csv"],
    [PYTHON, "-m", "masterflow.scripts.demonstration", "--once", "--csv", "流.csv"],
    [PYTHON, "-m", "masterflow.scripts.demonstration", "--help"],
    [PYTHON, "-m", "masterflow.status", "--host", "流.invalid"],
    [PYTHON, "-m", "masterflow.status", "--help"],
]


@pytest.fixture
def flow(database_setting, redis_setting, monkeypatch, tmp_path):
    flow_id = uuid4()

    async def make(session):
        tenant = (CONTEXT.client_account_id, CONTEXT.engagement_id, CONTEXT.user_id)
        repository = CrewAIFlowStateExtensionsRepository(session, *tenant)
        await repository.create_master_flow(flow_id, "discovery", flow_name=NAME)
        failed = new_event(StatusChanged, CONTEXT, flow_id, status="failed")
        error = new_event(ErrorOccurred, CONTEXT, flow_id, phase="流", error="✔ 流")
        await apply_events(session, [failed, error])

    with_session(make)
    monkeypatch.setenv("FLOWCTL_CLIENT", str(CONTEXT.client_account_id))
    monkeypatch.setenv("FLOWCTL_ENGAGEMENT", str(CONTEXT.engagement_id))
    monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", str(tmp_path))
    monkeypatch.setenv("ENRICHMENT_JWT_KEY", "k" * 40)
    return str(flow_id)


def run(command, *, redirect="", **settings):
    """Run a command as a shell does, its output redirected; return its exit code and what came out."""
    words = ["sh", "-c", f'exec "$@" {redirect}', "sh", *command]
    environment = {**os.environ, **settings}
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, env=environment, capture_output=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def assert_well_told(code, out, err, *, encoding="utf-8"):
    said = out.decode(encoding) + err.decode(encoding)
    assert code in {0, 1, 2, 3}, said
    assert not any(word in said for word in ("Traceback", "Exception", "UnicodeEncodeError", "codec")), said
    return said


@pytest.mark.long
@pytest.mark.parametrize("command", ENTRANCES, ids=lambda command: " ".join(command[1:]).replace("流", "x"))
def test_no_entrance_fails_where_ascii_is_all_there_is(flow, command):
    words = [flow if word == "FLOW" else word for word in command]
    assert assert_well_told(*run(words, PYTHONIOENCODING="ascii"))


@pytest.mark.long(but=["ascii", "no locale"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_in_no_encoding_is_a_value_lost(flow, name):
    encoding = ENCODINGS[name].get("PYTHONIOENCODING", "utf-8")
    for command in (["flow", "list"], ["flow", "show", flow, "--json"]):
        code, out, err = run([FLOWCTL, *command], **ENCODINGS[name])
        assert code == 0
        said = assert_well_told(code, out, err, encoding=encoding)
        if "--json" in command:
            assert json.loads(said)["flow_name"] == NAME
        else:
            shown = NAME if name in {"utf-16", "no locale"} else None
            assert flow in said
            assert "failed" in said
            # What the encoding lacks stands there as an escape.
            assert shown in said if shown else "\\u6d41\\u308c \\U0001f680" in said


NOWHERE = [
    *((redirect, "flow list --json") for redirect in (">&-", "2>&-", "<&-", "<&- >&- 2>&-", "| head -c 1")),
    *((redirect, command) for redirect in (">/dev/full", "| true") for command in ("--help", "doctor")),
    ("2>/dev/full", "nonsense"),
]


@pytest.mark.long(but=[">&--flow list --json", ">/dev/full---help", "| true-doctor", "2>/dev/full-nonsense"])
@pytest.mark.parametrize(("redirect", "command"), NOWHERE)
def test_output_that_goes_nowhere_ends_no_command_in_a_traceback(flow, redirect, command):
    code, out, err = run([FLOWCTL, *command.split()], redirect=redirect)
    said = assert_well_told(code, out, err)
    if redirect == ">/dev/full":
        assert code == 1
        assert "cannot be written" in said


@pytest.mark.long("flow watch")
@pytest.mark.parametrize("command", ["flow watch --json", "flow watch"])
def test_a_command_that_goes_on_ends_with_its_reader(flow, command):
    assert_well_told(*run([FLOWCTL, *command.split()], redirect="| head -n 0"))
