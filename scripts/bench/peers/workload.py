"""The work that everyone in the comparison does, and the clock that everyone is timed with.

A flow has phases that do nothing, each with one entry of an agent. A peer is a process of its own: it
prepares, prints `ready`, waits for a line, runs its flows, prints `done`, waits for another line, checks that
each event is kept once, and prints what it found as one line of JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

PHASES: Final = tuple(f"phase_{number}" for number in range(10))
#: What a list of the row holds, and so what everyone's list holds.
NEWEST: Final = 100


class Spec(NamedTuple):
    """What one process has to run: flows with the numbers from `first`, each so many rounds of ten phases.

    `body_ms` is how long each phase waits, as for a model; `is_full` says that lists hold their newest 100
    before the clock starts; `lanes` how many flows a peer may run at a time; `option` is the peer's own.
    """

    flows: int
    rounds: int = 1
    body_ms: float = 0.0
    is_full: bool = False
    lanes: int = 1
    first: int = 0
    option: str = ""

    @property
    def numbers(self) -> range:
        """The flows' numbers."""
        return range(self.first, self.first + self.flows)

    @property
    def steps(self) -> range:
        """The numbers of the phases that each flow runs."""
        return range(self.rounds * len(PHASES))

    @property
    def phases(self) -> int:
        """How many phases all flows run."""
        return self.flows * len(self.steps)


class Unequal(AssertionError):
    """A row does not hold each event exactly once, so no figure of this run counts."""


class Peer(Protocol):
    """One way to keep what a flow did."""

    def prepare(self) -> None:
        """Connect, and make what has to be there; not timed."""

    def run(self) -> None:
        """Run all flows, until what they did is durable."""

    def check(self) -> None:
        """Make sure that each event is kept exactly once, else raise Unequal."""

    def close(self) -> None:
        """Give back what was opened."""


class Stopwatch:
    """Times what lies between the bodies of phases: all that keeping them costs the flow's own thread.

    Without bodies flows run at once, in no order, and it times nothing.
    """

    def __init__(self, body_ms: float) -> None:
        self._body_s = body_ms / 1_000
        self._mark = 0
        self._gaps: list[int] = []
        #: Nanoseconds of each phase; the begin and the end of a flow are in its last one.
        self.costs: list[int] = []
        #: What a peer found out about itself.
        self.notes: dict[str, float] = {}

    def begin(self) -> None:
        """Start a flow."""
        self._gaps.clear()
        self._mark = time.perf_counter_ns()

    def body(self) -> None:
        """Do the work of a phase, which is to wait."""
        if not self._body_s:
            return
        self._gaps.append(time.perf_counter_ns() - self._mark)
        time.sleep(self._body_s)
        self._mark = time.perf_counter_ns()

    def end(self) -> None:
        """End a flow."""
        if not self._body_s:
            return
        last = time.perf_counter_ns() - self._mark
        first, *between = self._gaps
        self.costs += [*between, first + last]


def flow_uuid(number: int) -> UUID:
    """Return the id of a flow."""
    return UUID(int=(0x18 << 120) | number)


def entry(step: int) -> dict[str, Any]:
    """Return what an agent did in one phase; its number says which one of the flow."""
    return {
        "agent": "Schema Expert",
        "activity": "mapped columns",
        "details": {"step": step, "confidence": 0.93},
    }


def old_entry(number: int) -> dict[str, Any]:
    """Return what an agent did before the clock started."""
    return {"agent": "Data Analyst", "activity": "checked rows", "details": {"step": -1 - number, "bad": 3}}


def phase_of(step: int) -> str:
    """Return the name of a flow's phase by its number."""
    return PHASES[step % len(PHASES)]


def expect(flow: int, what: str, found: object, wanted: object) -> None:
    """Compare what is kept of a flow with what it did.

    Raises:
        Unequal: they differ.
    """
    if found != wanted:
        raise Unequal(f"flow {flow}: {what} should be {wanted!r:.200} and is {found!r:.200}")


def expect_steps(spec: Spec, flow: int, steps: Iterable[int]) -> None:
    """Make sure that a list holds each of a flow's newest entries once, in order."""
    newest = list(spec.steps)[-NEWEST:]
    old = NEWEST - len(newest) if spec.is_full else 0
    expect(flow, "the agent's entries", list(steps), [*range(-old, 0), *newest])


def in_lanes(spec: Spec, run_flow: Callable[[int], object]) -> None:
    """Run flows, at most `lanes` at a time."""
    if spec.lanes == 1:
        for number in spec.numbers:
            run_flow(number)
        return
    with ThreadPoolExecutor(spec.lanes) as pool:
        list(pool.map(run_flow, spec.numbers))


def peak_mb(pid: int | str) -> float:
    """Return the greatest memory that a process has had since its program began, 0 if it is gone.

    `getrusage` would count what its parent had when it started it.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return max((int(line.split()[1]) / 1_024 for line in lines if line.startswith("VmHWM")), default=0.0)


def serve(make: Callable[[Spec, Stopwatch], Peer]) -> None:
    """Be one process of a peer: its arguments are the spec as JSON."""
    spec = Spec(**json.loads(sys.argv[1]))
    stopwatch = Stopwatch(spec.body_ms)
    peer = make(spec, stopwatch)
    try:
        peer.prepare()
        print("ready", flush=True)
        sys.stdin.readline()
        peer.run()
        # The first flow pays for what everyone loads and plans once.
        warm_up = len(PHASES) if spec.flows > 1 else 0
        peak = peak_mb("self")
        print("done", flush=True)
        sys.stdin.readline()
        peer.check()
        found = {"peak_mb": peak, "costs": stopwatch.costs[warm_up:], "notes": stopwatch.notes}
        print(json.dumps(found), flush=True)
    finally:
        peer.close()
