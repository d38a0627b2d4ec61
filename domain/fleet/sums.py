"""Sums of what flows count for, by steps of time: they add up and are taken back exactly."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: What is counted: `("started", type, status)`, `("ended", type, status)`, `("phase", name, bucket)`,
#: `("phase_us", name)`, `("cause", text)` or `("usage", agent, model, figure)`.
Key = tuple[str | int, ...]


class Dated(NamedTuple):
    """So much of something at a time, in microseconds since 1970."""

    at_us: int
    key: Key
    amount: int


class Sums:
    """Whole numbers by step and key; a sum of no more than nothing takes no room."""

    def __init__(self) -> None:
        #: By the length and the start of a step, in seconds.
        self.steps: dict[tuple[int, int], dict[Key, int]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sums) and self.steps == other.steps

    __hash__ = None  # type: ignore[assignment]  # it changes

    def add(self, dated: Iterable[Dated], limits: Mapping[int, int], *, times: int = 1) -> None:
        """Add amounts (or with -1 take them back) to every step that begins no earlier than its limit.

        `limits` holds for each number of seconds that a step takes the start of the first that is kept.
        """
        for at_us, key, amount in dated:
            at_s = at_us // 1_000_000
            for step_s, limit_s in limits.items():
                start_s = at_s - at_s % step_s
                if start_s >= limit_s:
                    self._change((step_s, start_s), key, amount * times)

    def add_all(self, other: "Sums", *, times: int = 1) -> None:
        """Add sums that are kept since the same limits, or take them back."""
        for step, amounts in other.steps.items():
            for key, amount in amounts.items():
                self._change(step, key, amount * times)

    def forget(self, limits: Mapping[int, int]) -> None:
        """Forget the steps that begin before these limits; nothing of them may be taken back later."""
        for step in [step for step in self.steps if step[1] < limits[step[0]]]:
            del self.steps[step]

    def between(self, step_s: int, since_s: int, until_s: int) -> dict[Key, int]:
        """Return the sums of the steps of this length that begin since then and before `until_s`."""
        found: defaultdict[Key, int] = defaultdict(int)
        for start_s in range(since_s, until_s, step_s):
            for key, amount in self.steps.get((step_s, start_s), {}).items():
                found[key] += amount
        return dict(found)

    def _change(self, step: tuple[int, int], key: Key, amount: int) -> None:
        if not amount:
            return
        amounts = self.steps.setdefault(step, {})
        changed = amounts.get(key, 0) + amount
        if changed:
            amounts[key] = changed
            return
        del amounts[key]
        if not amounts:
            del self.steps[step]
