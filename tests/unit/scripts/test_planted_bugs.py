from collections import Counter
from pathlib import Path

import pytest

from tests.planted.bugs import BUGS, Bug

_ROOT = Path(__file__).parents[3]


def test_there_are_enough_of_them_each_told_once() -> None:
    assert len(BUGS) >= 25
    assert max(Counter(bug.name for bug in BUGS).values()) == 1


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_still_fits(bug: Bug) -> None:
    """Otherwise it has to move to where the code has gone, and `./scripts/test --planted` to be run."""
    assert (_ROOT / bug.file).read_text().count(bug.old) == 1
    assert bug.old != bug.new
    assert [tests for tests in bug.tests if not (_ROOT / tests.partition("::")[0]).exists()] == []
