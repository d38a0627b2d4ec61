"""Run worlds: `./scripts/test --worlds COUNT [FIRST]`; a failing one is made small and told."""

import sys
import time

from tests.simulation.world.plan import plan_of
from tests.simulation.world.world import run_world
from tests.simulation.worlds import failures_among, story_of

_TELL_EVERY_S = 60.0
_USAGE = "--worlds takes how many, and perhaps the number of the first one: ./scripts/test --worlds 1000 4711"


def main(arguments: list[str]) -> int:
    """Run them; return 1 if one fails, 2 if the arguments are no numbers."""
    if not 1 <= len(arguments) <= 2 or not all(one.isdecimal() for one in arguments):
        print(_USAGE, file=sys.stderr)
        return 2
    count, first = int(arguments[0]), int(arguments[1]) if len(arguments) == 2 else 0
    began = told_at = time.monotonic()
    done, failed = 0, list[int]()
    for worlds, numbers in failures_among(first, count):
        done += worlds
        for number in numbers:
            print(story_of(run_world(plan_of(number))), flush=True)
        failed += numbers
        if time.monotonic() - told_at > _TELL_EVERY_S:
            told_at = time.monotonic()
            print(_summary(done, failed, told_at - began), flush=True)
    print(_summary(done, failed, time.monotonic() - began))
    return int(bool(failed))


def _summary(done: int, failed: list[int], took_s: float) -> str:
    names = f": {', '.join(map(str, failed[:20]))}" if failed else ""
    return f"{done} worlds in {took_s:.0f} s, {done / took_s:.1f} a second; {len(failed)} failed{names}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
