"""Plant each bug in a copy of the tree and let its tests run: `./scripts/test --planted [words]`.

It prints the tables that docs/planted-bugs.md holds; the second is of bugs that are looked for in worlds.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.planted.bugs import BUGS, Bug
from tests.simulation.plants import PLANTS
from tests.simulation.worlds import first_failure

_ROOT = Path(__file__).parents[2]
_MOST_S = 60
_MOST_WORLDS = 300
_HEAD = "| bug | found by | seconds |\n|---|---|---|"


def _copy(place: Path) -> None:
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(_ROOT / name):
            shutil.copy2(_ROOT / name, place / name, follow_symlinks=False)


def _found_by(bug: Bug, place: Path) -> tuple[str, float]:
    """Return which of the tests fail first, or nothing, and the seconds that it took."""
    took_s = 0.0
    for tests in bug.tests:
        started = time.monotonic()
        command = [
            sys.executable, "-m", "pytest", "-q", "-x", "--long", "-p", "no:cacheprovider",
            "-k", "not (PostgreSQL and 15)", tests,
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=place, capture_output=True, text=True, timeout=2 * _MOST_S, check=False
            )
        except subprocess.TimeoutExpired:
            took_s += 2 * _MOST_S
            continue
        took_s += time.monotonic() - started
        if done.returncode == 1 and "\nERROR " not in done.stdout:
            return tests, took_s
        if done.returncode not in {0, 1}:
            print(done.stdout[-2_000:], done.stderr[-2_000:])
    return "", took_s


def _missed_in_worlds(words: str) -> int:
    """Print which world finds each bug, and return how many are found by none, or not soon."""
    missed = 0
    for name, plant in PLANTS.items():
        if words not in name:
            continue
        started = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            failing = first_failure(range(_MOST_WORLDS))
        took_s = time.monotonic() - started
        missed += failing is None or took_s > _MOST_S
        found = f"world {failing.plan.number}" if failing else "**nothing**"
        print(f"| {name} | {found} | {took_s:.0f} |", flush=True)
    return missed


def main(words: str) -> int:
    """Print the tables; return 1 if a bug was not found, or not soon."""
    missed = _missed_in_copies(words)
    print(f"\n{_HEAD}", flush=True)
    missed += _missed_in_worlds(words)
    return int(missed > 0)


def _missed_in_copies(words: str) -> int:
    missed = 0
    print(_HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        place = Path(folder)
        _copy(place)
        for bug in BUGS:
            if words not in bug.name:
                continue
            path = place / bug.file
            before = path.read_text()
            path.write_text(before.replace(bug.old, bug.new))
            try:
                tests, took_s = _found_by(bug, place)
            finally:
                path.write_text(before)
            missed += not tests or took_s > _MOST_S
            found = f"`{tests.removeprefix('tests/')}`" if tests else "**nothing**"
            print(f"| {bug.name} | {found} | {took_s:.0f} |", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
