import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from masterflow.scripts import checks

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
ROOMS = ("bridges", "domain", "repository", "scripts", "status", "tasks", "tracker")

# Check, source of domain/wrong.py, and a word of what the check says about it.
VIOLATIONS = {
    "a bare except": ("Lint", "try:\n    X = 1\nexcept:\n    X = 2\n", "bare-except"),
    "a swallowed error": ("Lint", "try:\n    X = 1\nexcept Exception:\n    X = 2\n", "blind-except"),
    "a print outside scripts": ("Lint", "print(1)\n", "print"),
    "a naive time": (
        "Lint",
        "from datetime import datetime\n\nX = datetime.now()\n",
        "call-datetime-now-without-tzinfo",
    ),
    "an import in a function": (
        "Lint",
        "def _x() -> None:\n    import os\n\n    os.sync()\n",
        "import-outside-top-level",
    ),
    "a public function without a docstring": (
        "Lint",
        "def x() -> None:\n    return\n",
        "undocumented-public-function",
    ),
    "a line out of shape": ("Format", "X = [1,2]\n", "wrong.py"),
    "a function without types": ("Types", "def _x(y):\n    return y\n", "no-untyped-def"),
    "a value of another type": ("Types", 'X: int = "one"\n', "assignment"),
}

# Importer, imported, and a word of the contract that forbids it.
FORBIDDEN_IMPORTS = {
    "the queue by the words": ("domain.a", "celery", "know no queue"),
    "the database by the words": ("domain.a", "sqlalchemy", "know no queue"),
    "Redis by the words": ("domain.a", "redis", "know no queue"),
    "the web by a worker": ("masterflow.tasks.app", "fastapi", "A worker knows no web"),
    "the web by Celery's configuration": ("masterflow.celeryconfig", "fastapi", "A worker knows no web"),
    "Celery's configuration by a task": ("masterflow.tasks.app", "masterflow.celeryconfig", "never up"),
    "Celery's configuration by a tracker": ("tracker.a", "masterflow.celeryconfig", "never up"),
    "up the house": ("repository.a", "masterflow.tasks.app", "never up"),
    "in a circle": ("masterflow.tasks.enqueue", "masterflow.tasks.app", "never imports back"),
    "the database by the orchestrator": ("tracker.a", "sqlalchemy", "never loads the database"),
    "the database by what the orchestrator imports": (
        "masterflow.tasks.enqueue",
        "psycopg",
        "never loads the database",
    ),
    "crewai by the orchestrator": ("tracker.a", "crewai", "never loads the database"),
    "crewai by a bridge when it is imported": ("bridges.a", "crewai", "never loads the database"),
    "a framework by what people run": ("scripts.a", "crewai", "in its bridge alone"),
    "a framework by a worker": ("masterflow.tasks.app", "langgraph", "in its bridge alone"),
    "the database by a bridge": ("bridges.a", "sqlalchemy", "never loads the database"),
    "a bridge by the tracker": ("tracker.a", "masterflow.bridges.a", "never up"),
    "the outbox by a fold": ("bridges.crewai.fold.a", "masterflow.tracker.a", "no outbox"),
    "the queue by the repository": ("repository.a", "celery", "knows no queue"),
    "the web by the repository": ("repository.a", "fastapi", "knows no queue"),
    "the app by the tracker": ("tracker.a", "masterflow.tasks.app", "know nothing else of the tasks"),
    "the app by the status": ("status.a", "masterflow.tasks.app", "know nothing else of the tasks"),
    "the tracker by the status": ("status.a", "masterflow.tracker.a", "not from a tracker"),
}


@pytest.fixture
def house(tmp_path):
    """A small house under our rules: empty rooms, and between tasks and tracker what is allowed."""
    shutil.copy(PYPROJECT, tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("")
    (tmp_path / "masterflow").mkdir()
    (tmp_path / "masterflow" / "__init__.py").write_text('"""A house."""\n')
    for room in ROOMS:
        (tmp_path / "masterflow" / room).symlink_to(Path("..", room))
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text('"""A room."""\n')
        (tmp_path / room / "a.py").write_text('"""A thing in it."""\n')
    for folder in ("crewai", "crewai/fold"):
        (tmp_path / "bridges" / folder).mkdir()
        (tmp_path / "bridges" / folder / "__init__.py").write_text('"""A bridge."""\n')
    (tmp_path / "bridges" / "crewai" / "fold" / "a.py").write_text('"""A thing in it."""\n')
    (tmp_path / "scripts" / "sample_crew").mkdir()
    (tmp_path / "scripts" / "sample_crew" / "__init__.py").write_text('"""A user\'s flow."""\n')
    (tmp_path / "scripts" / "sample_crew" / "a.py").write_text('"""It."""\n\nimport crewai  # noqa: F401\n')
    (tmp_path / "masterflow" / "celeryconfig.py").write_text('"""How Celery runs."""\n')
    (tmp_path / "tasks" / "enqueue.py").write_text('"""What others may import."""\n')
    (tmp_path / "tasks" / "app.py").write_text(
        '"""What they may not."""\n\nimport masterflow.tasks.enqueue  # noqa: F401\n'
    )
    for room in ("status", "tracker"):
        (tmp_path / room / "a.py").write_text(
            '"""One of them."""\n\nimport masterflow.tasks.enqueue  # noqa: F401\n'
        )
    return tmp_path


def check(name, house):
    program, *arguments = checks.LINTERS[name]
    if program == "deptry":
        arguments += ["--ignore", "DEP002"]  # a small house uses little of what the project depends on
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(house)}
    done = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", checks.LINTERS)
def test_a_house_in_order_passes(name, house):
    code, output = check(name, house)
    assert code == 0, output


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_is_found(violation, house):
    name, source, word = VIOLATIONS[violation]
    (house / "domain" / "wrong.py").write_text(f'"""Wrong."""\n\n{source}')
    code, output = check(name, house)
    assert code != 0
    assert word in output


@pytest.mark.parametrize("what", FORBIDDEN_IMPORTS)
def test_a_forbidden_import_is_found(what, house):
    importer, imported, word = FORBIDDEN_IMPORTS[what]
    with (house / f"{importer.replace('.', '/')}.py").open("a") as source:
        source.write(f"\nimport {imported}\n")
    code, output = check("Import contracts", house)
    assert code != 0
    broken = [line for line in output.splitlines() if "BROKEN" in line]
    assert any(word in line for line in broken), output


@pytest.mark.parametrize("name", ["numpy", "vine", "typeguard"])
def test_an_import_of_what_is_not_declared_is_found_also_if_something_else_brings_it(house, name):
    with (house / "domain" / "a.py").open("a") as source:
        source.write(f"\nimport {name}\n")
    code, output = check("Declared imports", house)
    assert code != 0
    assert f"'{name}' imported but" in output


def test_an_exception_from_a_contract_that_nothing_needs_any_more_is_an_error(house):
    (house / "tracker" / "a.py").write_text('"""Imports nothing."""\n')
    code, output = check("Import contracts", house)
    assert code != 0
    assert "No matches for ignored import masterflow.tracker" in output


def test_a_room_of_which_no_contract_speaks_is_an_error(house):
    (house / "masterflow" / "cellar.py").write_text('"""A new room."""\n')
    code, output = check("Import contracts", house)
    assert code != 0
    assert "cellar" in output


def run_checks(*arguments):
    command = [sys.executable, "-m", "masterflow.scripts.checks", *arguments]
    done = subprocess.run(command, cwd=PYPROJECT.parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_soak_is_of_the_faults_alone_and_on_both_brokers():
    code, output = run_checks("--soak", "30m", "--collect-only", "-q")
    collected = [line for line in output.splitlines() if "::" in line]
    assert code == 0, output
    assert {line.split("/test_")[0] for line in collected} == {"tests/faults"}
    for name in ("round0-redis", "round0-rabbitmq", "round6-redis"):
        assert any(
            f"test_killed_workers_lose_nothing_and_count_nothing_twice[{name}]" in line for line in collected
        )


def test_what_takes_long_runs_only_where_it_is_asked_for():
    arguments = ("tests/integration/worker/test_worker.py", "--collect-only", "-q")
    name = "test_a_worker_that_stops_while_it_waits_gives_its_message_back_at_once"
    (_, usual), (_, all_of_them) = run_checks(*arguments), run_checks("--long", *arguments)
    assert [f"{name}[{signal}]" in usual for signal in ("SIGTERM", "SIGQUIT")] == [True, False]
    assert [f"{name}[{signal}]" in all_of_them for signal in ("SIGTERM", "SIGQUIT")] == [True, True]


def test_everything_may_be_run_with_what_takes_long(monkeypatch, tmp_path):
    started = []
    log = tmp_path / ".local" / "faults.log"
    log.parent.mkdir()

    def start(command, **_options):
        started.append(list(command))
        log.touch()
        return nullcontext()

    monkeypatch.setattr(checks, "_ROOT", tmp_path)
    monkeypatch.setattr(checks, "_start", start)
    monkeypatch.setattr(checks, "_finish", lambda _name, _process: True)
    assert checks.main(["--long"]) == 0
    tests = [command for command in started if "pytest" in command]
    assert len(tests) == 6
    assert all(command[-1] == "--long" for command in tests)


def test_flows_of_crewai_run_in_their_own_environment(monkeypatch):
    started = []

    def run(name, command):
        started.append(list(command))
        return True

    monkeypatch.setattr(checks, "run", run)
    older = "tests/bridges/crewai/test_older.py"
    assert checks.main(["--crewai", "-k", "pause"]) == 0
    assert checks.main(["--crewai-older"]) == 0
    assert started == [
        ["bash", "scripts/environment.sh", "crewai"],
        ["pytest", "tests/bridges", f"--ignore={older}", "-k", "pause"],
        ["bash", "scripts/environment.sh", "crewai-older"],
        ["pytest", older],
    ]


def test_worlds_are_run_and_their_rate_is_told():
    code, output = run_checks("--worlds", "2", "40")
    assert code == 0, output
    assert re.search(r"^2 worlds in \d+ s, \d+\.\d a second; 0 failed$", output, re.MULTILINE), output


def test_worlds_that_are_no_number_are_refused_in_a_sentence():
    code, output = run_checks("--worlds", "many")
    assert code != 0
    assert "--worlds takes how many" in output
    assert "Traceback" not in output


@pytest.mark.long
def test_a_bug_that_is_planted_is_found_and_who_found_it_is_told():
    bug = "the window takes one batch too many"
    code, output = run_checks("--planted", bug)
    assert code == 0, output
    assert f"| {bug} | `unit/tracker/test_sender_window.py` | " in output


def test_a_soak_for_no_time_is_refused_in_a_sentence():
    code, output = run_checks("--soak", "soon")
    assert code != 0
    assert "--soak takes a time such as 90s, 30m or 2h." in output
    assert "Traceback" not in output
