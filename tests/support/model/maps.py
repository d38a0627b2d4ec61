"""Maps: under each key the value of the newest event; the newest 100 keys, most of them bounded by 2 KB."""

from typing import Any

from tests.support.model.jsonb import json_bytes, json_text, pairs

_MOST_KEYS = 100
_VALUE_BYTES = 2_060
_CUT_BYTES = 1_600

#: How many of the newest keys may have values of 4 KB.
WHOLE_KEYS = {"memory_usage_metrics": 16, "agent_performance_metrics": 16, "flow_metadata": 2}

#: What the application relies on stands outside the ranking.
_OUTSIDE = {
    "flow_metadata": {
        "last_progress_update",
        "progress_snapshot",
        "resume_data",
        "pause_reason",
        "usage_budget",
        "usage",
        "lost",
    },
    "agent_performance_metrics": {"usage"},
    "memory_usage_metrics": set(),
}

#: What is no stamp sorts behind all stamps.
_NO_STAMP = ";"


class Map:
    """A map column: what stands in it, and since when as far as the merge has put it there."""

    def __init__(self, column: str, document: dict[str, Any], stamps: dict[str, str]) -> None:
        self.column = column
        self.document = dict(document)
        self.stamps = dict(stamps)
        self._keys_before = set(document)
        self._stamps_before = dict(stamps)

    def put(self, updates: dict[str, Any], stamp: str, *, since: str) -> None:
        """Let the newer values stand; what is older than `since` counts as known."""
        for key, value in updates.items():
            known = self.stamps.get(key, "")
            if stamp > (known if known and known < _NO_STAMP else since):
                self.document[key], self.stamps[key] = value, stamp

    def bound(self, *, places: int = 0) -> None:
        """Leave out the oldest keys beyond the bound, and cut what is long and not among the newest.

        So many places are taken by what was asked of the flow.
        """
        most = _MOST_KEYS - places
        # Ties end at the key.
        ranked = sorted(sorted(self._ranked()), key=self.stamps.__getitem__, reverse=True)
        for key in ranked[most:]:
            self.document.pop(key, None)
            del self.stamps[key]
        if not self.is_changed:
            return
        for key in ranked[WHOLE_KEYS[self.column] : most]:
            if key in self.document:
                self.document[key] = _shortened(key, self.document[key])

    @property
    def is_changed(self) -> bool:
        """Return whether anything newer came; else what another writer has put there stays as it is."""
        return self.stamps != self._stamps_before or self.document.keys() != self._keys_before

    def _ranked(self) -> list[str]:
        return [key for key in self.stamps if key not in _OUTSIDE[self.column]]


def _shortened(key: str, value: Any) -> Any:
    # A long key stands in the bookkeeping too, which leaves less room for its value.
    if json_bytes(value) <= _VALUE_BYTES - 4 * max(len(key.encode()) - 24, 0):
        return value
    if isinstance(value, dict):
        return _first_keys(value)
    if isinstance(value, list):
        return _first_items(value)
    return _beginning(value) if isinstance(value, str) else value


def _first_keys(value: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    size = 0
    for name, part in pairs(value):
        size += json_bytes(name) + json_bytes(part) + 4
        if size <= _CUT_BYTES:
            kept[name] = part
    return kept | {"…": f"…[truncated {len(value) - len(kept)} keys]"}


def _first_items(value: list[Any]) -> list[Any]:
    kept: list[Any] = []
    size = 0
    for part in value:
        size += json_bytes(part) + 2
        if size <= _CUT_BYTES:
            kept.append(part)
    return [*kept, f"…[truncated {len(value) - len(kept)} items]"]


def _beginning(text: str) -> str:
    chars = next(chars for chars in (1_600, 800, 400, 250) if len(json_text(text[:chars]).encode()) <= 1_602)
    return f"{text[:chars]}…[truncated {len(text) - chars} chars]"
