"""How a process numbers what it counts, so that a repetition of any age counts nothing."""

import os
import secrets
from itertools import count
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_ID_BYTES: Final = 6
_MAX_FLOWS: Final = 5_000
_MAX_COUNTS: Final = 1_000


class Counted(BaseModel):
    """The place of an event in what its counter counts: its `number`-th, from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,22}$")]
    number: Annotated[int, Field(ge=1, le=2**53)]


class _Counter:
    """What one process counts of one flow; its id belongs to it alone."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(_ID_BYTES)
        self.numbers: dict[str, count[int]] = {}


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
        counter = self._young.get(flow_id) or self._kept(flow_id)
        numbers = counter.numbers.get(what)
        if numbers is None:
            if len(counter.numbers) >= _MAX_COUNTS:
                counter = self._young[flow_id] = _Counter()
            numbers = counter.numbers.setdefault(what, count(1))
        return Counted.model_construct(by=counter.id, number=next(numbers))

    def _kept(self, flow_id: UUID) -> _Counter:
        if len(self._young) >= _MAX_FLOWS:
            self._old, self._young = self._young, {}
        return self._young.setdefault(flow_id, self._old.get(flow_id) or _Counter())


#: The process's counters.
counters = Counters()
