import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.servers.image import leave_out_without

ROOT = Path(__file__).parents[3]

# It notes what it is asked for and makes a Python, but fetches nothing: the checks run in the real thing.
RECORDING_UV = """#!/bin/sh
echo "$*" >> "$UV_LOG"
if [ "$1" = venv ]; then
  for folder; do :; done # the last word
  mkdir -p "$folder/bin" && ln -sf "$UV_PYTHON" "$folder/bin/python"
fi
[ ! -e fail-once ] || { rm fail-once; exit 1; }
"""


@pytest.fixture
def clone(tmp_path):
    """What environment.sh reads, in a folder with a space in its name, and the recording uv beside it."""
    clone = tmp_path / "a clone"
    (clone / "scripts").mkdir(parents=True)
    locks = [f"requirements{which}.txt" for which in ("", "-bench", "-crewai", "-crewai-older", "-lowest")]
    for name in ("pyproject.toml", *locks, "scripts/environment.sh"):
        shutil.copy(ROOT / name, clone / name)
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(RECORDING_UV)
    uv.chmod(0o755)
    return clone


@pytest.fixture
def make(clone, tmp_path):
    """What starts environment.sh in the clone."""

    def make(*words, **environment):
        settings = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "UV_LOG": str(tmp_path / "log"),
            "UV_PYTHON": sys.executable,
            **environment,
        }
        command = ["bash", str(clone / "scripts" / "environment.sh"), *words]
        return subprocess.Popen(command, env=settings, cwd="/", stderr=subprocess.PIPE, text=True)

    return make


def finish(process):
    _, said = process.communicate(timeout=30)
    return process.returncode, said


@pytest.fixture
def asked(tmp_path):
    """What tells which uv commands were called since it was last asked."""
    log = tmp_path / "log"

    def asked():
        commands = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [" ".join(command.split()[:2]) for command in commands]

    return asked


def test_it_is_made_once_and_then_nothing_is_said(make, asked):
    code, said = finish(make())
    assert code == 0
    assert said.count("\n") == 1
    assert asked()[:3] == ["venv --quiet", "pip install", "pip install"]
    assert finish(make()) == (0, "")
    assert asked() == []


def test_starts_at_the_same_time_make_it_once(make, asked):
    for process in [make() for _ in range(4)]:
        assert finish(process)[0] == 0
    assert asked().count("venv --quiet") == 1


def test_a_changed_lock_brings_it_up_to_date_without_making_it_anew(make, asked, clone):
    finish(make())
    asked()
    with (clone / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    assert finish(make())[0] == 0
    assert asked()[:2] == ["pip install", "pip install"]


def test_a_start_after_an_interrupted_one_begins_anew(make, asked, clone):
    (clone / "fail-once").touch()
    assert finish(make())[0] != 0
    asked()
    assert finish(make())[0] == 0
    assert asked()[0] == "venv --quiet"


def test_a_folder_that_was_moved_gets_its_own(make, asked, clone):
    finish(make())
    asked()
    moved = clone.with_name("elsewhere")
    clone.rename(moved)
    clone.symlink_to(moved)
    assert finish(make())[0] == 0
    assert asked()[0] == "venv --quiet"


def test_the_oldest_versions_have_an_environment_of_their_own(make, asked, clone):
    finish(make())
    asked()
    code, said = finish(make("lowest"))
    assert code == 0
    assert ".local/lowest" in said
    assert asked()[0] == "venv --quiet"
    assert (clone / ".local" / "lowest" / "made-from").read_text().count("celery==5.3.0") == 1
    assert finish(make("lowest")) == (0, "")
    assert finish(make()) == (0, "")
    assert asked() == []


def test_crewai_has_an_environment_of_its_own(make, asked, clone):
    code, said = finish(make("crewai"))
    assert code == 0
    assert ".local/crewai" in said
    assert asked() == ["venv --quiet", "pip install", "pip install"]
    assert (clone / ".local" / "crewai" / "made-from").read_text().count("\ncrewai==") == 1
    assert finish(make("crewai")) == (0, "")


def test_an_older_crewai_has_one_beside_it(make, asked, clone):
    code, said = finish(make("crewai-older"))
    assert code == 0
    assert ".local/crewai-older" in said
    assert "\ncrewai==1.14.7" in (clone / ".local" / "crewai-older" / "made-from").read_text()


def test_a_machine_without_python_hears_what_to_do(make):
    code, said = finish(make(PYTHON="/nonexistent/python"))
    assert code == 1
    assert said.startswith("No Python 3.11 or newer")
    assert said.count("\n") == 1


def test_an_environment_that_is_up_to_date_costs_no_time():
    leave_out_without("the .venv that scripts/environment.sh makes")
    started = time.monotonic()
    subprocess.run(["bash", str(ROOT / "scripts" / "environment.sh")], check=True)
    assert time.monotonic() - started < 0.3
