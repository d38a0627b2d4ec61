"""Rounds of retention: read rows, write them where they are kept, and only then delete or thin them."""

import time
from dataclasses import dataclass
from itertools import islice
from typing import Final
from uuid import UUID

from masterflow.domain.errors import DatabaseUnavailable
from masterflow.repository.retention.ended import BEGINNING, EndedFlows
from masterflow.tasks.retention.archive import Archive, Written

#: Flows of one round: so many are written before the first is deleted.
ROUND: Final = 20_000

# Rows may be megabytes, and these are in memory together.
_READ_AT_ONCE: Final = 50
_LISTED_AT_ONCE: Final = 1_000

# A transaction begins small and grows as long as it is quick: what a deletion costs is up to foreign keys.
_FIRST: Final = 20
_MOST: Final = 500
_QUICK_S: Final = 0.25
_SLOW_S: Final = 1.0


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    #: Rows that were deleted, or thinned.
    done: int = 0
    #: Rows that changed or were locked meanwhile; they stay, and a later run looks at them again.
    kept: int = 0


async def run_rounds(
    flows: EndedFlows,
    archive: Archive | None,
    *,
    thins: bool,
    budget_s: float = float("inf"),
    most: int = ROUND,
) -> Outcome:
    """Write rows into the archive, if there is one, then delete or thin them, until none is left.

    Whatever ends it, each row is in the table or in the archive; it goes on where it is run again. Without an
    archive rows are only thinned. InputInvalid (the archive cannot be written to) passes, and so does
    DatabaseUnavailable.
    """
    until = time.monotonic() + budget_s
    if archive is None:
        return await _run(flows, None, thins=thins, until=until, most=most)
    with archive.written() as written:
        return await _run(flows, written, thins=thins, until=until, most=most)


async def _run(
    flows: EndedFlows, written: Written | None, *, thins: bool, until: float, most: int
) -> Outcome:
    outcome, kept = Outcome(), set[UUID]()
    while True:
        meant = await _write(flows, written, most=most, until=until)
        done = await _change(flows, meant, thins=thins, until=until)
        outcome.done += len(done)
        kept = (kept | meant.keys()) - done
        # A flow that others name may go once those have gone.
        if not done or time.monotonic() >= until:
            outcome.kept = len(kept)
            return outcome


async def _write(flows: EndedFlows, written: Written | None, *, most: int, until: float) -> dict[UUID, str]:
    """Return the digests of the rows that are in the archive now."""
    meant: dict[UUID, str] = {}
    named, after = await flows.named(), BEGINNING
    while len(meant) < most and (not meant or time.monotonic() < until):
        places = await flows.places(after, most=min(_LISTED_AT_ONCE, most))
        if not places:
            break
        after = places[-1]
        wanted = iter([place.flow_id for place in places if place.flow_id not in named])
        while flow_ids := list(islice(wanted, _READ_AT_ONCE)):
            page = await flows.read(flow_ids)
            if written:
                written.add(page)
            meant |= {flow.flow_id: flow.digest for flow in page}
    if written:
        written.settle()
    return meant


async def _change(flows: EndedFlows, meant: dict[UUID, str], *, thins: bool, until: float) -> set[UUID]:
    change = flows.thin if thins else flows.delete
    done, size, rest = set[UUID](), _FIRST, iter(list(meant.items()))
    while batch := dict(islice(rest, size)):
        started = time.monotonic()
        try:
            done |= await change(batch)
        except DatabaseUnavailable:
            if len(batch) == 1:
                raise
            # It may have taken too long; what is left of it comes with the next round.
            size = 1
            continue
        took_s = time.monotonic() - started
        if took_s < _QUICK_S:
            size = min(_MOST, size * 2)
        elif took_s > _SLOW_S:
            size = max(1, size // 2)
        if time.monotonic() >= until:
            break
    return done
