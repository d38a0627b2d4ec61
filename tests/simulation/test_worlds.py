"""Worlds from numbers: in none of them a promise is broken, and each is the same whenever it is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.plants import PLANTS
from tests.simulation.world.plan import plan_of
from tests.simulation.world.shrinking import made_small
from tests.simulation.world.world import run_world
from tests.simulation.worlds import first_failure, story_of

_ROOT = Path(__file__).parents[2]
_WORLDS, _BLOCK = 300, 10
#: Which mistakes are planted in the usual run: almost every world finds these.
_CHEAP = ("delete what was only sent", "drop errors before details", "forget to count what is confirmed")
_MOST_WORLDS = 60

_DIGESTS = """
import sys
from tests.simulation.world.plan import plan_of
from tests.simulation.world.world import run_world
print(*(run_world(plan_of(int(number))).digest for number in sys.argv[1:]))
"""


@pytest.mark.parametrize("first", range(0, _WORLDS, _BLOCK))
def test_no_promise_is_broken_in_a_world(first):
    failing = first_failure(range(first, first + _BLOCK))
    assert failing is None, story_of(failing)


def test_a_number_is_the_same_world_in_every_process():
    numbers = (3, 4, 9)
    here = [run_world(plan_of(number)).digest for number in numbers]
    there = subprocess.run(
        [sys.executable, "-c", _DIGESTS, *map(str, numbers)],
        cwd=_ROOT, env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(_ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert there.stdout.split() == here == [run_world(plan_of(number)).digest for number in numbers]
    assert len({*here}) == len(numbers)


@pytest.mark.parametrize("name", _CHEAP)
def test_a_planted_bug_is_found_in_a_few_worlds(name, monkeypatch):
    PLANTS[name](monkeypatch)
    assert first_failure(range(_MOST_WORLDS)) is not None


def test_a_failing_world_is_made_small_and_tells_its_number(monkeypatch):
    PLANTS["delete what was only sent"](monkeypatch)
    found = first_failure(range(_MOST_WORLDS))
    assert found is not None

    small = made_small(found, most_runs=100)

    assert small.failure is not None
    assert len(small.plan.steps) <= 4
    assert run_world(small.plan).digest == small.digest
    assert f"World {found.plan.number}: " in str(small)
