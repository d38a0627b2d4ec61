"""An orchestrator that goes through a phase again and again, every second time with an error.

    python -m tests.faults.harness.attempts FLOW CLIENT ENGAGEMENT USER --attempts 500 --within-s 4

It writes "done" after the last attempt, and then delivers what it has until it is killed.
"""

import argparse
import signal
import sys
import time
from contextlib import suppress

from masterflow import tracker
from masterflow.domain.tenant import flow_context


class ItemFailed(Exception):
    """What every second attempt ends with."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("flow")
    parser.add_argument("tenant", nargs=3)
    parser.add_argument("--attempts", type=int, required=True, help="an even number")
    parser.add_argument("--within-s", type=float, required=True)
    options = parser.parse_args()
    flow = tracker.create_progress_tracker(options.flow, flow_context(*options.tenant))
    started = time.monotonic()
    for number in range(options.attempts):
        with suppress(ItemFailed), tracker.phase("item", flow=flow):
            if number % 2 == 0:
                raise ItemFailed("every second item fails")
        time.sleep(max(0.0, started + number * options.within_s / options.attempts - time.monotonic()))
    sys.stdout.write("done\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
