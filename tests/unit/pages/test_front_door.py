"""What `import masterflow` gives, and what it loads."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest

import masterflow
from tests.support.pages import ROOT

HEAVY = ("crewai", "fastapi", "psycopg", "sqlalchemy", "starlette", "typer", "uvicorn")
AT_MOST = 35


@pytest.mark.parametrize("name", masterflow.__all__)
def test_every_name_can_be_had(name):
    assert getattr(masterflow, name) is not None
    assert name in dir(masterflow)


def test_there_are_few_and_another_one_is_an_error_as_of_any_module():
    assert len(masterflow.__all__) <= AT_MOST
    with pytest.raises(AttributeError, match="module 'masterflow' has no attribute 'fase'"):
        getattr(masterflow, "fase")  # noqa: B009  a checker would find it


def test_it_tells_its_version():
    assert masterflow.__version__ == version("masterflow")


def test_an_orchestrator_loads_neither_database_nor_web():
    program = (
        "import sys, masterflow as m; m.phase, m.create_progress_tracker, m.FlowContext, m.__version__; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_newest_of_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert versions[0] == masterflow.__version__
