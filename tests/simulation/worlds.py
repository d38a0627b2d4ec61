"""Many worlds, one after the other or in several processes, and what of them fails."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from tests.simulation.world.outcome import Outcome
from tests.simulation.world.plan import plan_of
from tests.simulation.world.shrinking import made_small
from tests.simulation.world.world import run_world

_BLOCK = 20
#: Of how many blocks the results are waited for at once.
_AHEAD = 4


def first_failure(numbers: Iterable[int]) -> Outcome | None:
    """Return the first world that fails, as it is."""
    outcomes = (run_world(plan_of(number)) for number in numbers)
    return next((one for one in outcomes if one.failure is not None), None)


def story_of(outcome: Outcome) -> str:
    """Return what happens in a failing world, in as few steps as can be found."""
    return f"{made_small(outcome)}\nSee it again: ./scripts/test --worlds 1 {outcome.plan.number}"


def failures_among(first: int, count: int) -> Iterator[tuple[int, list[int]]]:
    """Yield after each block of worlds how many there were, and the numbers of those that failed."""
    processes = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    blocks = (range(at, min(at + _BLOCK, first + count)) for at in range(first, first + count, _BLOCK))
    with ProcessPoolExecutor(processes) as pool:
        while some := list(islice(blocks, _AHEAD * (processes or 1))):
            for block, failed in zip(some, pool.map(_failed, some), strict=True):
                yield len(block), failed


def _failed(numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if run_world(plan_of(number)).failure is not None]
