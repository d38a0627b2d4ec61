"""`flowctl doctor --crewai` with the real package."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(240)


def doctor(application, **settings):
    command = [
        Path(sys.executable).with_name("flowctl"),
        "doctor",
        "--crewai",
        "--python",
        application.python,
    ]
    environment = application.environment | settings
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_where_the_settings_are_right_only_what_cannot_be_helped_is_noted(application):
    code, said = doctor(application)
    assert code == 0, said
    assert "A process that is forked after its parent's first flow hangs" in said
    assert "asks a package index" not in said
    assert "replaces the handlers" not in said
    assert "older than" not in said


def test_a_home_that_cannot_be_written_is_a_problem(application):
    code, said = doctor(application, HOME="/proc")
    assert code == 1
    assert "it makes folders in HOME" in said
