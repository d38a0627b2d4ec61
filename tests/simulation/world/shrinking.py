"""What of a failing world is needed for its failure."""

from collections.abc import Callable

from tests.simulation.world.outcome import Outcome
from tests.simulation.world.plan import Plan
from tests.simulation.world.world import run_world


def made_small(
    outcome: Outcome, run: Callable[[Plan], Outcome] = run_world, *, most_runs: int = 300
) -> Outcome:
    """Return a world that fails in the same way with as few steps as can be found by halving.

    Parts of the steps are left out, the larger ones first, as long as the same kind of failure remains.
    """
    best, runs = outcome, 0
    size = max(1, len(outcome.plan.steps) // 2)
    while runs < most_runs:
        place, has_shrunk = 0, False
        while place < len(best.plan.steps) and runs < most_runs:
            candidate = run(best.plan.without(set(range(place, place + size))))
            runs += 1
            if candidate.failure is not None and _kind(candidate) == _kind(outcome):
                best, has_shrunk = candidate, True
            else:
                place += size
        if size == 1 and not has_shrunk:
            break
        size = max(1, size // 2)
    return best


def _kind(outcome: Outcome) -> tuple[type, str]:
    """Return how a world failed, without the numbers in it."""
    words = [word for word in str(outcome.failure).split() if word.isalpha()]
    return type(outcome.failure), " ".join(words[-4:])
