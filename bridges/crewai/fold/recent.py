"""What was seen lately, of which there may be any number in the life of a process."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At least the newest `most` values by their keys, and at most twice as many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K | None) -> V | None:
        """Return a value; one that is asked for stays."""
        if key is None:
            return None
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def drop(self, key: K) -> V | None:
        """Forget a value, and return it."""
        old, young = self._old.pop(key, None), self._young.pop(key, None)
        return young if young is not None else old
