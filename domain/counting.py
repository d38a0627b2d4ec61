"""How a process numbers what it counts, so that a repetition of any age counts nothing."""

import os
import secrets
from itertools import count
from typing import Annotated, Final, Required, TypedDict
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_ID_BYTES: Final = 6
_MAX_FLOWS: Final = 5_000
_MAX_COUNTS: Final = 1_000


CounterId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,22}$")]


class Counted(BaseModel):
    """The place of an event in what its counter counts: its `number`-th, from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: CounterId
    number: Annotated[int, Field(ge=1, le=2**53)]


class _Link(TypedDict, total=False):
    total: Required[tuple[int, ...]]
    next: "_Link"


class _Counter:
    """What one process counts of one flow; its id belongs to it alone."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(_ID_BYTES)
        self.id_bytes = self.id.encode()
        self.numbers: dict[str, count[int]] = {}
        self.sums: dict[str, _Sum] = {}


class _Sum:
    """A running total that any thread may add to, and who is interrupted by a signal handler, too.

    Totals form a chain, of which the newest known link is kept. A total becomes the next link by one
    `setdefault`, which is atomic; whoever comes second goes on from that link.
    """

    def __init__(self) -> None:
        self._newest: _Link = {"total": ()}

    @property
    def total(self) -> tuple[int, ...]:
        link = self._newest
        # Whoever was slow to note his link as the newest may have put an older one in its place.
        while "next" in link:
            link = link["next"]
        return link["total"]

    def add(self, amounts: tuple[int, ...]) -> tuple[int, ...]:
        link = self._newest
        while True:
            total = tuple(map(int.__add__, link["total"] or (0,) * len(amounts), amounts))
            own: _Link = {"total": total}
            found = link.setdefault("next", own)
            if found is own:
                self._newest = own
                return total
            link = found


class Counters:
    """The counters of a process, at most two generations of 5,000 flows.

    A flow that was not counted for long, and every flow after a fork, gets a counter with a new id, as
    does one in which more than 1,000 things are counted. There is no lock: a signal handler or another
    thread may come in between any two steps, and at worst takes a new counter.
    """

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Take new counters for everything."""
        self._young: dict[UUID, _Counter] = {}
        self._old: dict[UUID, _Counter] = {}

    def number(self, flow_id: UUID, what: str) -> Counted:
        """Return the next number of this flow's `what`."""
        by, number = self.next_number(flow_id, what)
        return Counted.model_construct(by=by.decode(), number=number)

    def next_number(self, flow_id: UUID, what: str) -> tuple[bytes, int]:
        """Return it with the counter's id, without a model."""
        counter = self._counter(flow_id)
        numbers = counter.numbers.get(what)
        if numbers is None:
            if len(counter.numbers) >= _MAX_COUNTS:
                counter = self._young[flow_id] = _Counter()
            numbers = counter.numbers.setdefault(what, count(1))
        return counter.id_bytes, next(numbers)

    def add(
        self, flow_id: UUID, sums: tuple[str, ...], amounts: tuple[int, ...]
    ) -> tuple[str, list[tuple[int, ...]]]:
        """Add amounts to sums of a flow, each by its name; return the counter's id and the new sums."""
        counter = self._counter(flow_id)
        if len(counter.sums) >= _MAX_COUNTS and not counter.sums.keys() >= set(sums):
            counter = self._young[flow_id] = _Counter()
        found = [counter.sums.get(name) or counter.sums.setdefault(name, _Sum()) for name in sums]
        return counter.id, [each.add(amounts) for each in found]

    def total(self, flow_id: UUID, name: str) -> tuple[int, ...]:
        """Return a sum of a flow so far; empty if nothing was added to it."""
        counter = self._young.get(flow_id) or self._old.get(flow_id)
        found = counter.sums.get(name) if counter else None
        return found.total if found else ()

    def _counter(self, flow_id: UUID) -> _Counter:
        return self._young.get(flow_id) or self._kept(flow_id)

    def _kept(self, flow_id: UUID) -> _Counter:
        if len(self._young) >= _MAX_FLOWS:
            self._old, self._young = self._young, {}
        return self._young.setdefault(flow_id, self._old.get(flow_id) or _Counter())


#: The process's counters.
counters = Counters()
