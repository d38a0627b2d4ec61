"""What README, operations and adoption tell people to type is typed here, or named as what cannot be."""

import re
import shlex
import subprocess
import sys
import urllib.request
from functools import partial
from typing import Any

import pytest
import typer.main
from redis import Redis

from masterflow.domain.redis_keys import FLAG_KEY
from masterflow.scripts.flowctl.app import app
from masterflow.tasks.dead_letters.letters import EVERY_LETTER
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.pages import LANGUAGES, PAGES, ROOT, blocks, every_command
from tests.support.processes.host import Host
from tests.support.servers.databases import temporary_database

#: They do not end by themselves; the host runs them all the time, at ports of its own.
LASTING = {
    "flowctl worker": "",
    "flowctl beat": "",
    "flowctl flower": "--port={flower}",
    "python -m masterflow.status": "--port={status}",
}

AN_ID = "3f0cbb52-54a8-4a4f-a6a4-7ac2d0a2b1c5"
LISTS = [f"flowctl flow list {which}" for which in ("--lost", "--overdue", "--silent", "--status processing")]

#: What is typed besides, where the text around a command says so or this host differs.
MORE = {
    **dict.fromkeys(
        (*LISTS, "flowctl inbox", "flowctl fleet --window hour"), f"--client={AN_ID} --engagement={AN_ID}"
    ),
    "flowctl dead replay": "--reason=invalid",
    "flowctl dead drop": "--reason=invalid",
    "flowctl health api": "--port={status}",
}

#: What each of them says, as a pattern.
TYPED = {
    **dict.fromkeys(LISTS, r"This engagement has no such flows"),
    "flowctl inbox": r"No flow waits for anybody",
    "flowctl fleet --window hour": r".",
    "flowctl dead list --reason signature_invalid": r"There are no such dead letters",
    "flowctl init-db": r"These tables are there: .*crewai_flow_state_extensions",
    "flowctl doctor": r"sharing\s+✔ well",
    "flowctl backfill": r".",
    "flowctl backfill --all --again": r".",
    "flowctl backfill --since 30d --dry-run": r".",
    "flowctl backfill --since 30d": r".",
    "flowctl health worker": r"heartbeat\s+✔ well",
    "flowctl health worker --name NAME": r"heartbeat\s+✔ well",
    "flowctl health beat": r"heartbeat\s+✔ well",
    "flowctl health api": r"ready\s+✔ well",
    "flowctl dead replay --reason invalid": r"1 sent again",
    # The letter that lies there is of another reason.
    "flowctl dead replay --reason row_hidden": r"0 sent again",
    "flowctl dead replay --reason flow_not_found": r"0 sent again",
    "flowctl dead replay": r"1 sent again",
    "flowctl dead list --limit 10000 --json": r'"reason": ?"invalid"',
    "flowctl dead list": r"invalid",
    "flowctl dead show ID": r'"reason": ?"invalid"',
    "flowctl dead drop": r"1 dropped",
    "flowctl security keygen --client ID": r"ENRICHMENT_SIGNING_KEYS=",
    "flowctl security worker-key": r"ENRICHMENT_WORKER_KEYS=",
    "flowctl security cache-key": r"ENRICHMENT_CACHE_KEYS=",
    "flowctl outbox metrics": r"# TYPE enrichment_outbox",
    "flowctl outbox status": r".",
    "flowctl outbox flush": r".",
    "flowctl outbox adopt --all": r".",
    "flowctl flag on": r"Enrichment is on in all processes",
    "flowctl flag off": r"Enrichment is off in all processes",
    "flowctl flag show": r"Enrichment is on by MASTER_STATE_ENRICHMENT_ENABLED",
    "flowctl flag clear": r"Enrichment is on by MASTER_STATE_ENRICHMENT_ENABLED",
    "flowctl token --client ID --engagement ID --user ann": r"ey\w+\.ey\w+\.",
}

#: Tests of these files run them whole.
ELSEWHERE = {
    **dict.fromkeys(
        (
            "flowctl flow archive --older-than 90d --all --dry-run",
            "flowctl flow archive --older-than 90d --all --to /archive/",
            "flowctl flow archive --older-than 90d --client ID --to flows.jsonl",
            "flowctl flow archive --older-than 30d --all --thin --to /archive/",
            "flowctl flow restore /archive/ --client ID",
            "flowctl flow restore",
        ),
        ("test_flowctl_archive", "test_old_flows_are_counted_archived_and_restored_by_tenant"),
    ),
    **dict.fromkeys(
        (
            "flowctl notices list",
            "flowctl notices test NAME",
            "flowctl notices replay --receiver NAME",
            "flowctl notices drop",
        ),
        (
            "test_notice_queue",
            "test_flowctl_shows_replays_and_drops_what_was_never_taken_and_tries_receivers",
        ),
    ),
    **dict.fromkeys(
        (
            "pip install .",
            "pip install '.[worker]'",
            "pip install '.[status]'",
            "pip install '.[worker,status]'",
        ),
        ("test_extras", "test_an_extra_brings_what_it_promises_and_nothing_of_the_others"),
    ),
    "flowctl dead import letters.json": (
        "test_flowctl_dead_import",
        "test_letters_that_were_saved_as_json_are_loaded_each_once",
    ),
    "./scripts/demo": ("test_demo", "test_on_a_terminal_it_stays_until_it_is_interrupted_and_leaves_nothing"),
    "./scripts/demo --crewai": ("test_crew_demo", "test_a_flow_of_crewai_fills_its_row"),
    "./scripts/demo --csv FILE": ("test_demo", "test_it_shows_every_row_and_both_checks"),
    "./scripts/bench/run": ("test_benchmark", "test_everyone_is_measured_over_the_same_loads"),
    "flowctl flow cancel": ("test_flowctl_control", "test_a_flow_is_cancelled_by_whom_the_system_knows"),
    "flowctl flow fail": ("test_flowctl_control", "test_a_flow_is_closed_by_hand"),
    "python -m masterflow.scripts.maintenance.broker_users": (
        "test_roles",
        "test_the_acl_file_is_one_that_redis_loads",
    ),
    "./scripts/make-env": ("test_make_env", "test_it_makes_every_secret_that_compose_asks_for"),
    "./scripts/test": ("test_checks", "test_a_house_in_order_passes"),
    "./scripts/test --crewai": ("test_checks", "test_flows_of_crewai_run_in_their_own_environment"),
    "./scripts/test --crewai-older": ("test_checks", "test_flows_of_crewai_run_in_their_own_environment"),
    "./scripts/test --long": ("test_checks", "test_everything_may_be_run_with_what_takes_long"),
    "./scripts/test --worlds 10000": ("test_checks", "test_worlds_are_run_and_their_rate_is_told"),
    "./scripts/test --planted": (
        "test_checks",
        "test_a_bug_that_is_planted_is_found_and_who_found_it_is_told",
    ),
    "./scripts/test --soak 30m": ("test_checks", "test_a_soak_is_of_the_faults_alone_and_on_both_brokers"),
    "./scripts/test tests/unit -k outbox": (
        "test_pages",
        "test_a_part_of_the_tests_is_chosen_as_the_page_says",
    ),
    "celery -A tasks worker": (
        "test_adoption",
        "test_your_celery_application_and_ours_take_nothing_of_each_other_on_one_redis",
    ),
    "uvicorn api:app": (
        "test_adoption",
        "test_your_fastapi_application_serves_the_status_of_flows_beside_its_own_routes",
    ),
}

#: They need a container engine: only what they name is looked up, each pattern in its file.
NOT_TYPED = {
    "docker exec -e REDIS_URL=redis://:PASSWORD@redis:6379/0 migration_backend flowctl doctor": (
        "docker-compose.yml",
        r"container_name: migration_backend",
    ),
    "docker-compose up -d --build": ("docker-compose.yml", r"build: \{context: \., target: runtime\}"),
    "docker exec -it migration_backend python -m pytest tests/": (
        "docker-compose.yml",
        r"container_name: migration_backend",
    ),
    "docker build --target runtime .": ("Dockerfile", r"FROM \S+ AS runtime\n"),
}


def is_group(command):
    """Return whether a command only names a group of commands, or asks for help."""
    words = shlex.split(command)
    known: Any = typer.main.get_group(app) if words[0] == "flowctl" else None
    for word in words[1:]:
        known = getattr(known, "commands", {}).get(word, known if word == "--help" else None)
    return hasattr(known, "commands")


GROUPS = [command for command in every_command() if is_group(command)]


def test_every_command_is_typed_here_or_elsewhere_or_named_as_one_that_cannot_be():
    known = [*LASTING, *TYPED, *ELSEWHERE, *NOT_TYPED, *GROUPS]
    assert sorted(known) == sorted(every_command())


def test_every_block_is_of_a_language_that_is_looked_at():
    assert {language for page in PAGES for language, _ in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_test_that_runs_it_exists(command):
    file, name = ELSEWHERE[command]
    [path] = (ROOT / "tests").rglob(f"{file}.py")
    assert f"\ndef {name}(" in path.read_text()
    if command.startswith("./"):
        assert (ROOT / shlex.split(command)[0]).stat().st_mode & 0o111


@pytest.mark.long
def test_a_part_of_the_tests_is_chosen_as_the_page_says():
    [command] = [it for it in ELSEWHERE if it.startswith("./scripts/test ") and "-k" in it]
    arguments = [*shlex.split(command)[1:], "--collect-only", "-q", "-pno:schemathesis"]
    # ./scripts/test hands them to pytest, and would make the environment before.
    done = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("command", NOT_TYPED)
def test_what_a_command_names_exists(command):
    file, pattern = NOT_TYPED[command]
    assert re.search(pattern, (ROOT / file).read_text())


@pytest.fixture(scope="module")
def host(tmp_path_factory, postgres_server, redis_server):
    """A host that was set up with the commands of the README, on an empty database."""
    with temporary_database(postgres_server) as url:
        host = Host(tmp_path_factory.mktemp("host"), database_url=url, redis_url=redis_server)
        try:
            assert host.run("flowctl init-db").returncode == 0
            for command, more in LASTING.items():
                host.keep_running(f"{command} {more.format(**host.ports)}")
            host.await_life("beat", host.worker)
            yield host
        finally:
            host.remove()
            with Redis.from_url(redis_server) as redis:
                redis.flushdb()


@pytest.fixture
def tidy(host):
    """What is done before and after a command, so that none finds what another one left."""
    yield
    host.place.redis.delete(FLAG_KEY)


@pytest.fixture
def letter_id(host):
    """The id of a dead letter, if the command is about one."""
    context = new_context()
    host.place.publish(['{"kind": "nonsense"}'], context)
    yield str(eventually(host.place.letters, timeout_s=30)[0].letter_id)
    # One that was sent again comes back.
    eventually(lambda: not host.place.redis.llen("enrichment:enrichment"))
    with host.place.dead_letters() as letters:
        letters.drop(EVERY_LETTER)


def test_what_the_host_runs_is_reachable(host):
    for name, path in (("flower", "healthcheck"), ("status", "health/live")):
        url = f"http://127.0.0.1:{host.ports[name]}/{path}"
        eventually(partial(is_served, url), timeout_s=30)


@pytest.mark.long(
    but=[
        "flowctl init-db",
        "flowctl doctor",
        "flowctl backfill",
        "flowctl health worker",
        "flowctl health api",
        "flowctl dead replay",
        "flowctl dead list",
        "flowctl outbox status",
        "flowctl flag off",
        "flowctl security keygen --client ID",
        "flowctl token --client ID --engagement ID --user ann",
    ]
)
@pytest.mark.parametrize("command", TYPED)
def test_a_command_does_what_the_page_says(host, tidy, command, request):
    wanted = r"\b(ID|NAME)\b"
    values = {"NAME": host.worker, "ID": AN_ID}
    if command.startswith("flowctl dead"):
        values["ID"] = request.getfixturevalue("letter_id")
    typed = re.sub(wanted, lambda found: values[found[0]], command)
    done = host.run(f"{typed} {MORE.get(command, '').format(**host.ports)}")
    assert done.returncode == 0, done.stdout
    assert re.search(TYPED[command], done.stdout), done.stdout


@pytest.mark.parametrize("command", GROUPS)
def test_a_group_of_commands_shows_its_help(flowctl, command):
    _, *words = shlex.split(command)
    code, said, _ = flowctl(*words, *([] if "--help" in words else ["--help"]))
    assert code == 0
    assert "Commands" in said


def is_served(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
