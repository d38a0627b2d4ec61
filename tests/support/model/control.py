"""What was asked of a flow and by it, and the deadlines that passed: of each family the newest ones."""

from typing import Any, Final

from tests.support.model.jsonb import json_bytes, json_text

#: Of each family of entries: how many stay, and how many bytes may stand before one that stays whole.
_FAMILIES: Final = {
    "cancel": ("request", 20, 4_000),
    "pause": ("request", 20, 4_000),
    "resume": ("request", 20, 4_000),
    "fail": ("request", 20, 4_000),
    "answer": ("answer", 20, 4_000),
    "asked": ("asked", 20, 6_000),
    "settled": ("settled", 30, 2_000),
}
_DEADLINES: Final = ("overdue", 12, 1_000_000)
_LONG: Final = {
    "answer", "value", "reason", "options", "answer_schema", "default", "phase", "expires_at",
}  # fmt: skip
_QUESTION_CHARS: Final = 60
_MOST_PLACES: Final = 36

Entry = dict[str, Any]


class Entries:
    """The entries of one of the two lists in a row."""

    def __init__(self, name: str, stored: Any) -> None:
        self._name = name
        self._stored = stored
        self._fresh: list[Entry] | None = None

    def add(self, fresh: list[Entry]) -> None:
        self._fresh = fresh

    @property
    def displaced(self) -> bool:
        """Return whether something stood there that is none of ours."""
        if self._fresh is None or self._stored is None:
            return False
        return not isinstance(self._stored, list) or not all(map(self._family, self._stored))

    @property
    def is_changed(self) -> bool:
        return self._fresh is not None and self.bounded() != self._stored

    def bounded(self) -> list[Entry]:
        stored = self._stored if isinstance(self._stored, list) else []
        found: dict[tuple[str, str], Entry] = {}
        for entry in [*stored, *(self._fresh or [])]:
            if self._family(entry):
                found.setdefault((entry["timestamp"], entry["id"]), entry)
        kept: list[Entry] = []
        sizes: dict[str, list[int]] = {}
        for _, entry in sorted(found.items(), reverse=True):
            family = self._family(entry)
            assert family
            name, most, whole = family
            before = sizes.setdefault(name, [])
            if len(before) < most:
                kept.append(entry if sum(before) < whole else _short(entry))
            before.append(json_bytes(entry))
        return kept[::-1]

    def _family(self, entry: Any) -> tuple[str, int, int] | None:
        if not isinstance(entry, dict) or not _is_placed(entry):
            return None
        kind = entry.get("kind")
        if self._name == "overdue":
            return _DEADLINES
        return _FAMILIES.get(kind) if isinstance(kind, str) else None


def _is_placed(entry: Entry) -> bool:
    found, at = entry.get("id"), entry.get("timestamp")
    return (
        isinstance(found, str)
        and len(found) == 36
        and isinstance(at, str)
        and len(at) == 32
        and at.endswith("+00:00")
    )


def _short(entry: Entry) -> Entry:
    short = {name: part for name, part in entry.items() if name not in _LONG}
    question = short.get("question")
    if isinstance(question, str) and len(question) > _QUESTION_CHARS:
        short["question"] = question[:_QUESTION_CHARS]
    if short == entry:
        return entry
    return short | {"truncated": entry.get("truncated", f"…[truncated {len(json_text(entry))} chars]")}


def places_of(lists: list[Entries]) -> int:
    """Return how many keys of the map make room for the entries."""
    return min(sum(len(entries.bounded()) for entries in lists), _MOST_PLACES)
