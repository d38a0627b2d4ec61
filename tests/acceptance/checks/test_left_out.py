import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

CONFTEST = "from tests.conftest import debian_package, pytest_terminal_summary\n"
NEEDING_TEST = """
import pytest

def test_that_needs_a_tool(debian_package):
    debian_package("no-such-package", "no-such-program")

def test_that_needs_nothing():
    pass

@pytest.mark.skip("for another reason")
def test_that_is_skipped():
    pass
"""

NEEDING_ENGINE = """
from tests.support.servers.engine import docker_engine

def test_that_needs_an_engine():
    with docker_engine():
        pass
"""


@pytest.fixture
def run(tmp_path):
    """What runs the tests under an environment, and returns the exit code and what pytest said."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_needing.py").write_text(NEEDING_TEST)

    def run(**environment):
        settings = {name: value for name, value in os.environ.items() if name not in {"CI", "TESTS_IN_IMAGE"}}
        options = [f"--config-file={ROOT / 'pyproject.toml'}", "-pno:schemathesis"]
        command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
        done = subprocess.run(
            command, cwd=ROOT, env={**settings, **environment}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    return run


def test_the_image_leaves_out_what_needs_more_than_it_has_and_names_it(run):
    code, said = run(TESTS_IN_IMAGE="1")
    assert code == 0
    _, _, section = said.partition("left out in this image")
    assert "test_needing.py::test_that_needs_a_tool: needs the Debian package no-such-package." in section
    assert "1 passed, 2 skipped" in said
    assert "test_that_is_skipped: needs" not in said


@pytest.mark.long
def test_elsewhere_nothing_is_left_out_in_the_name_of_the_image(run):
    _, said = run()
    assert "left out in this image" not in said
    assert "apt install no-such-package" in said


@pytest.mark.long
def test_what_needs_a_docker_engine_is_left_out_by_name_where_there_is_none_in_ci_too(run, tmp_path):
    (tmp_path / "test_needing.py").write_text(NEEDING_ENGINE)
    code, said = run(CI="1", DOCKER_HOST=f"unix://{tmp_path / 'no-engine'}")
    assert code == 0
    _, _, section = said.partition("left out on this machine")
    assert "test_needing.py::test_that_needs_an_engine: needs a Docker engine." in section
    code, said = run(TESTS_IN_IMAGE="1", DOCKER_HOST=f"unix://{tmp_path / 'no-engine'}")
    assert code == 0
    assert "left out in this image" in said


def test_only_the_image_says_that_it_is_one():
    places = [
        ROOT / "Dockerfile",
        ROOT / ".ci" / "run",
        ROOT / "scripts" / "test",
        ROOT / "docker-compose.yml",
    ]
    assert [path.name for path in places if "TESTS_IN_IMAGE" in path.read_text()] == ["Dockerfile"]
