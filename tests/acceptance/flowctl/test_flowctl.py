import json
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import typer.main
from redis import Redis
from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentPerformanceMeasured,
    ErrorOccurred,
    FlowRetried,
    PhaseTimed,
    PhaseTransitioned,
    new_event,
)
from masterflow.domain.tenant import flow_context
from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.database import with_session
from masterflow.scripts.flowctl.app import app
from masterflow.tasks.delivery.skipped import note_skipped
from tests.support.events.flows import new_context
from tests.support.servers.databases import temporary_database

FLOWCTL = Path(sys.executable).with_name("flowctl")

# -- tables


def test_init_db_makes_the_tables_and_can_be_repeated(flowctl, empty_database):
    for _ in range(2):
        code, said, _ = flowctl("init-db")
        assert code == 0
        assert "migration.crewai_flow_state_extensions" in said
    made = json.loads(flowctl("init-db", "--json")[1])
    assert made == {"tables": ["migration.crewai_flow_state_extensions", "migration.discovery_flows"]}


def test_init_db_says_which_columns_of_an_older_table_are_missing(flowctl, database_setting):
    async def age(session):
        for name in ("phase_transitions", "error_history"):
            await session.execute(
                text(f"alter table migration.crewai_flow_state_extensions drop column {name}")
            )

    with_session(age)
    code, said, complaint = flowctl("init-db")
    assert (code, said) == (1, "")
    assert "crewai_flow_state_extensions lacks the column" in complaint
    assert "phase_transitions" in complaint
    assert "error_history" in complaint
    assert complaint.count("\n") == 1


@pytest.fixture
def empty_database(postgres_server, monkeypatch):
    with temporary_database(postgres_server) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield


def test_a_database_without_tables_is_named_as_such(flowctl, empty_database):
    code, _, complaint = flowctl("flow", "list", "--client", uuid4(), "--engagement", uuid4())
    assert code == 1
    assert complaint.startswith("This database lacks a table of ours (")
    assert complaint.endswith("; make it with `flowctl init-db`.\n")


# -- flows


@pytest.fixture
def flow(database_setting):
    """A flow that was retried once, and the options that lead to it."""
    context, flow_id = new_context(), uuid4()

    async def make(session):
        tenant = (context.client_account_id, context.engagement_id, context.user_id)
        repository = CrewAIFlowStateExtensionsRepository(session, *tenant)
        await repository.create_master_flow(flow_id, "discovery", flow_name="Berlin")
        await apply_events(session, list(events_of(context, flow_id)))

    with_session(make)
    return flow_id, ["--client", context.client_account_id, "--engagement", context.engagement_id]


def events_of(context: FlowContext, flow_id):
    for phase, status in (("data_import", "processing"), ("data_import", "completed")):
        yield new_event(PhaseTransitioned, context, flow_id, phase=phase, status=status)
    yield new_event(PhaseTimed, context, flow_id, phase="data_import", execution_time_ms=1234.5)
    yield new_event(PhaseTransitioned, context, flow_id, phase="data_cleansing", status="processing")
    yield new_event(ErrorOccurred, context, flow_id, phase="data_cleansing", error="No answer.")
    yield new_event(FlowRetried, context, flow_id)
    yield new_event(AgentPerformanceMeasured, context, flow_id, metrics={"Cleaner": {"calls": 3}})


def test_a_flow_is_shown_with_its_phases_errors_and_agents(flowctl, flow):
    flow_id, tenant = flow
    code, said, _ = flowctl("flow", "show", flow_id, *tenant)
    lines = said.splitlines()
    assert code == 0
    assert "Berlin" in lines[0]
    assert any("data import" in line and "completed" in line and "1.2 s" in line for line in lines)
    assert any("data cleansing" in line and "processing" in line for line in lines)
    assert any("data cleansing" in line and "No answer." in line for line in lines)
    assert any("Cleaner" in line and "3" in line for line in lines)
    assert "1 retry" in said


def test_what_was_skipped_of_a_flow_is_told(flowctl, flow, redis_setting, redis_url):
    flow_id, tenant = flow
    assert "skipped" not in flowctl("flow", "show", flow_id, *tenant)[1]
    event = new_event(FlowRetried, flow_context(tenant[1], tenant[3], "ann"), flow_id)
    with Redis.from_url(redis_url) as redis:
        note_skipped(redis, [event] * 12, now=datetime.now(UTC))
    said = flowctl("flow", "show", flow_id, *tenant)[1]
    assert "12 events were skipped while enrichment was off." in said
    assert "12 skipped" in flowctl("flow", "list", *tenant)[1]
    assert json.loads(flowctl("flow", "show", flow_id, *tenant, "--json")[1])["skipped_events"] == 12


def test_nothing_in_a_row_steers_the_terminal(flowctl, flow):
    flow_id, tenant = flow
    hostile = "\x1b[2J[red]x[/red]\x9b\u202e"

    async def spoil(session):
        values = {"flow_id": flow_id, "hostile": hostile}
        await session.execute(
            text(
                "update migration.crewai_flow_state_extensions set flow_name = cast(:hostile as text),"
                " error_history = jsonb_build_array(jsonb_build_object('phase', cast(:hostile as text),"
                " 'error', cast(:hostile as text))),"
                " agent_performance_metrics = jsonb_build_object(cast(:hostile as text),"
                " jsonb_build_object(cast(:hostile as text), cast(:hostile as text)))"
                " where flow_id = :flow_id"
            ),
            values,
        )

    with_session(spoil)
    said = flowctl("flow", "show", flow_id, *tenant)[1] + flowctl("flow", "list", *tenant)[1]
    assert said.count("�[2J[red]x[/red]��") >= 6
    assert not set(said) & set("\x1b\x9b\u202e")


def test_a_flow_is_shown_as_json(flowctl, flow):
    flow_id, tenant = flow
    _, said, _ = flowctl("flow", "show", flow_id, *tenant, "--json")
    shown = json.loads(said)
    assert shown["flow_id"] == str(flow_id)
    assert shown["retry_count"] == 1
    assert shown["phase_details"][0]["execution_time_ms"] == 1234.5
    assert shown["errors"][0]["error"] == "No answer."
    assert shown["agent_performance_metrics"] == {"Cleaner": {"calls": 3}}
    assert "_enrichment" not in said


def test_the_tenant_may_come_from_the_environment(flowctl, flow, monkeypatch):
    flow_id, (_, client, _, engagement) = flow
    monkeypatch.setenv("FLOWCTL_CLIENT", str(client))
    monkeypatch.setenv("FLOWCTL_ENGAGEMENT", str(engagement))
    assert flowctl("flow", "show", flow_id)[0] == 0


def test_a_flow_of_another_tenant_is_not_found(flowctl, flow):
    flow_id, (_, client, _, _) = flow
    code, said, complaint = flowctl("flow", "show", flow_id, "--client", client, "--engagement", uuid4())
    assert (code, said, complaint) == (1, "", f"There is no flow {flow_id}.\n")


def test_without_a_tenant_nothing_is_shown(flowctl, flow):
    code, said, complaint = flowctl("flow", "list")
    assert (code, said) == (2, "")
    assert "FLOWCTL_CLIENT" in complaint


def test_flows_are_listed_newest_first_and_by_status(flowctl, flow):
    flow_id, tenant = flow
    code, said, _ = flowctl("flow", "list", *tenant)
    assert code == 0
    assert "Berlin" in said
    assert str(flow_id) in said
    assert json.loads(flowctl("flow", "list", *tenant, "--json")[1])[0]["flow_id"] == str(flow_id)
    assert json.loads(flowctl("flow", "list", *tenant, "--status", "failed", "--json")[1]) == []
    assert "no such flows" in flowctl("flow", "list", *tenant, "--status", "failed")[1]
    code, _, complaint = flowctl("flow", "list", *tenant, "--status", "nonsense")
    assert code == 2
    assert complaint.startswith("'nonsense' is no flow status; use one of initialized")


# -- the flag


def test_the_flag_is_switched_for_all_and_given_back(flowctl, redis_setting):
    assert json.loads(flowctl("flag", "show", "--json")[1]) == {
        "enabled": True,
        "default": True,
        "override": None,
    }
    assert "off in all processes" in flowctl("flag", "off")[1]
    assert json.loads(flowctl("flag", "show", "--json")[1])["enabled"] is False
    assert "on in all processes" in flowctl("flag", "on")[1]
    assert "nothing overrides it" in flowctl("flag", "clear")[1]
    for word, override in (("off", "off"), ("on", "on"), ("clear", None)):
        found = json.loads(flowctl("flag", word, "--json")[1])
        assert found == {"enabled": word != "off", "default": True, "override": override}


# -- keys


def test_a_new_signing_key_comes_first_and_the_old_ones_stay(flowctl, monkeypatch):
    account = str(uuid4())
    for count in (1, 2):
        code, said, _ = flowctl("security", "keygen", "--client", account)
        [setting] = shlex.split(said)
        name, _, value = setting.partition("=")
        keys = json.loads(value)[account]
        assert (code, name, len(keys)) == (0, "ENRICHMENT_SIGNING_KEYS", count)
        monkeypatch.setenv(name, value)
    assert json.loads(flowctl("security", "keygen", "--client", account, "--json")[1]).keys() == {name}


def test_a_new_key_of_the_operators_comes_first_and_the_old_ones_stay(flowctl, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_WORKER_KEYS", json.dumps({"old": "o" * 16}))
    [setting] = shlex.split(flowctl("security", "worker-key")[1])
    name, _, value = setting.partition("=")
    new, old = json.loads(value)
    assert (name, old) == ("ENRICHMENT_WORKER_KEYS", "old")
    assert new != old
    assert json.loads(flowctl("security", "worker-key", "--json")[1]).keys() == {name}


def test_a_new_cache_key_comes_first_and_the_old_ones_stay(flowctl, monkeypatch):
    first = flowctl("security", "cache-key")[1].strip().removeprefix("ENRICHMENT_CACHE_KEYS=")
    monkeypatch.setenv("ENRICHMENT_CACHE_KEYS", first)
    both = json.loads(flowctl("security", "cache-key", "--json")[1])["ENRICHMENT_CACHE_KEYS"]
    assert both.split(",")[1:] == [first]


# -- dead letters


def test_letters_from_standard_input_are_utf_8_whatever_the_terminal_is(redis_setting, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    letter = {
        **dict.fromkeys(("reason", "batch_id", "sender_id", "client_account_id"), "Größe 流"),
        **dict.fromkeys(("first_seen", "last_seen"), "2026-11-02T09:00:00Z"),
        **{"letter_id": str(uuid4()), "error": "No ✔.", "event": {"流": "é"}, "attempts": 1},
    }
    saved = json.dumps([letter], ensure_ascii=False).encode()
    subprocess.run([FLOWCTL, "dead", "import", "-"], input=saved, check=True)
    listed = subprocess.run([FLOWCTL, "dead", "list", "--json"], stdout=subprocess.PIPE, check=True).stdout
    assert json.loads(listed) == [letter]


@pytest.mark.parametrize("content", [b"no json", b"[{}]", b"\xff", None])
def test_a_file_that_holds_no_letters_is_refused_in_one_sentence(flowctl, redis_setting, tmp_path, content):
    file = tmp_path / "letters.json"
    if content is not None:
        file.write_bytes(content)
    code, said, complaint = flowctl("dead", "import", file)
    assert (code, said) == (2, "")
    assert complaint.count("\n") == 1
    assert "letters.json" in complaint


# -- failures


@pytest.mark.parametrize(
    "command",
    [
        ["init-db"],
        ["flow", "list", "--client", uuid4(), "--engagement", uuid4()],
        ["flag", "off"],
        ["dead", "list"],
    ],
    ids=lambda command: command[0],
)
def test_a_server_that_is_away_is_told_in_one_sentence(flowctl, nothing_listens, command):
    code, said, complaint = flowctl(*command)
    assert (code, said) == (3, "")
    assert "does not answer" in complaint
    assert complaint.count("\n") == 1
    assert "secret" not in complaint


def test_a_setting_that_is_missing_is_told_in_one_sentence(flowctl):
    code, _, complaint = flowctl("init-db")
    assert code == 2
    assert complaint.startswith("Set DATABASE_URL to postgresql+psycopg://")
    assert complaint.count("\n") == 1


def test_an_unknown_command_is_a_misuse(flowctl):
    code, _, complaint = flowctl("dance")
    assert code == 2
    assert "dance" in complaint


def test_health_tells_what_is_away(flowctl, nothing_listens):
    code, said, _ = flowctl("health", "beat")
    assert code == 3
    assert "The broker does not answer" in said


def test_the_help_names_every_command_and_exit_code(flowctl):
    code, said, _ = flowctl("--help")
    assert code == 0
    for name in typer.main.get_group(app).commands:
        assert f" {name} " in said
    assert "0 done, 1 something is not as it should be, 2 misused, 3 a server does not answer" in " ".join(
        said.split()
    )


def test_no_help_speaks_of_exceptions():
    for name, command in typer.main.get_group(app).commands.items():
        for word, part in getattr(command, "commands", {name: command}).items():
            assert "Raises" not in (part.help or ""), (name, word)


PROCESSES = ("worker", "beat", "flower")
#: For Prometheus, and JSON or CSV by a word of its own.
IN_A_FORM_OF_ITS_OWN = {("outbox", "metrics"), ("flow", "export")}


def test_every_command_prints_json_but_those_that_become_a_process_or_have_a_form_of_their_own():
    commands = typer.main.get_group(app).commands
    for name in PROCESSES:
        del commands[name]
    for name, command in commands.items():
        for word, part in getattr(command, "commands", {name: command}).items():
            options = {option for found in part.params for option in found.opts}
            assert "--json" in options or (name, word) in IN_A_FORM_OF_ITS_OWN, (name, word)


@pytest.mark.parametrize("command", ["--help", "outbox status --json"])
def test_who_stops_reading_gets_no_traceback(tmp_path, command):
    # `true` is long gone when there is something to read.
    line = f"{shlex.quote(str(FLOWCTL))} {command} | true; exit ${{PIPESTATUS[0]}}"
    environment = {"PATH": os.environ["PATH"], "ENRICHMENT_SPOOL_DIR": str(tmp_path)}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""


# -- completion


def completed(script, *words):
    """Return what bash offers for the last of these words."""
    lines = f"""
    PATH={shlex.quote(str(FLOWCTL.parent))}:$PATH
    source {shlex.quote(str(script))}
    COMP_WORDS=({" ".join(("flowctl", *words))} )
    COMP_CWORD={len(words)}
    _flowctl_completion flowctl
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_options_and_statuses(tmp_path):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    # The option looks which shell it was called from; the echo keeps bash from becoming flowctl.
    command = ["bash", "-c", f"{shlex.quote(str(FLOWCTL))} --install-completion; echo"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    [script] = (tmp_path / ".bash_completions").iterdir()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert set(completed(script, "fl")) == {"flow", "flower", "flag", "fleet"}
    assert completed(script, "dead", "re") == ["replay"]
    assert completed(script, "outbox", "flush", "--ti") == ["--timeout"]
    assert completed(script, "flow", "list", "--status", "pa") == ["paused"]
