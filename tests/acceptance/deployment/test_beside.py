"""An application with modules of the names that our rooms have, in an environment that has our wheel."""

import pytest

from tests.support.packages import run

NAMES = "CrewAIFlowStateExtensionsRepository, create_progress_tracker, phase, status_router"
USES_OURS = f"from masterflow import {NAMES}"

#: Files of the application, the words after `python`, and what it says, with us and without us.
PROGRAMS = {
    "a module of tasks, as in Celery's tutorial": (
        {"tasks.py": "from celery import Celery\napp = Celery('mine', broker='memory://')\n"},
        ["-c", f"import tasks; {USES_OURS}; print(tasks.app.main, len(tasks.app.conf.task_queues or []))"],
        "mine 0",
    ),
    "a domain of its own, without __init__.py": (
        {"domain/server.py": "NAME = 'theirs'\n"},
        ["-c", f"from domain.server import NAME; {USES_OURS}; print(NAME)"],
        "theirs",
    ),
    "a repository of its own": (
        {"repository/__init__.py": "", "repository/rows.py": "NAME = 'theirs'\n"},
        ["-c", f"{USES_OURS}; from repository.rows import NAME; print(NAME)"],
        "theirs",
    ),
    "a module of status": (
        {"status.py": "OK = 'theirs'\n"},
        ["-c", f"import status; {USES_OURS}; print(status.OK)"],
        "theirs",
    ),
    "a module of a tracker": (
        {"tracker.py": "NAME = 'theirs'\n"},
        ["-c", f"import tracker; {USES_OURS}; print(tracker.NAME)"],
        "theirs",
    ),
    "scripts of its own, without __init__.py": (
        {"scripts/seed.py": "print('seeded')\n"},
        ["-m", "scripts.seed"],
        "seeded",
    ),
    "a celeryconfig of its own, which Celery finds by its default name": (
        {"celeryconfig.py": "task_default_queue = 'theirs'\nbroker_url = 'memory://'\n"},
        [
            "-c",
            f"{USES_OURS}; from celery import Celery; app = Celery('mine'); "
            "app.config_from_object('celeryconfig'); "
            "print(app.conf.task_default_queue, app.conf.worker_consumer)",
        ],
        "theirs celery.worker.consumer:Consumer",
    ),
    "no celeryconfig: Celery's defaults, not ours": (
        {},
        [
            "-c",
            f"{USES_OURS}; from celery import current_app as app; "
            "print(app.conf.task_default_queue, app.conf.worker_consumer, app.conf.task_ignore_result)",
        ],
        "celery celery.worker.consumer:Consumer False",
    ),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", PROGRAMS)
def test_an_application_keeps_what_is_its_own(installed, what, tmp_path):
    files, words, says = PROGRAMS[what]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert run(installed("status"), *words, folder=tmp_path).strip() == says


@pytest.mark.timeout(300)
def test_our_commands_run_in_a_folder_that_holds_all_these_names(installed, tmp_path):
    for name in ("bridges", "celeryconfig", "domain", "repository", "scripts", "status", "tasks", "tracker"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('ours was not meant')\n")
    python = installed("status")
    assert "Usage" in run(python, "-m", "masterflow.status", "--help", folder=tmp_path)
    assert "Usage" in run(python.with_name("flowctl"), "--help", folder=tmp_path)


@pytest.mark.timeout(300)
def test_nothing_of_ours_is_installed_but_one_package_and_one_command(installed, tmp_path):
    look = (
        "from importlib.metadata import distribution as find; own = find('masterflow'); "
        "print(*sorted({file.parts[0] for file in own.files if '.dist-info' not in file.parts[0]}))"
    )
    parts = run(installed("status"), "-c", look, folder=tmp_path).split()
    assert [part for part in parts if part != ".."] == ["masterflow"]
    command = (
        "from importlib.metadata import distribution as find; "
        "print(*(it.name for it in find('masterflow').entry_points.select(group='console_scripts')))"
    )
    assert run(installed("status"), "-c", command, folder=tmp_path).split() == ["flowctl"]
