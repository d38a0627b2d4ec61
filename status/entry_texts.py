"""What the entries of a list column say in words, whoever wrote them and in whatever shape."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

_WHO: Final = ("agent", "agent_name", "from_agent")
_WHAT: Final = ("activity", "message", "action", "text", "message_type", "insight_type")


def who_acted(entry: Mapping[str, Any]) -> str:
    """Return the agent of a collaboration entry."""
    return _first(entry, _WHO) or "somebody"


def what_was_done(entry: Mapping[str, Any]) -> str:
    """Return what the agent of a collaboration entry did."""
    return _first(entry, _WHAT)


def entry_text(value: object) -> str:
    """Return a value of an entry as text, JSON if it is none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((entry_text(entry[name]) for name in names if entry.get(name)), "")
