"""Rows of flows that ask people something, and that people asked something, as the merge writes them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

#: An hour ago: what is asked anew is later.
_BEGAN = datetime.now(UTC) - timedelta(hours=1)


def entry(kind: str, *, after_s: float = 0, entry_id: UUID | None = None, **fields: Any) -> dict[str, Any]:
    """An entry of `flow_metadata.control`."""
    at = _BEGAN + timedelta(seconds=after_s)
    return {
        "id": str(entry_id or uuid4()),
        "timestamp": at.isoformat(timespec="microseconds"),
        "kind": kind,
        **fields,
    }


def asked(question: str = "Approve the mapping?", *, key: str = "mapping", **fields: Any) -> dict[str, Any]:
    return entry("asked", **{"key": key, "question": question, **fields})


def answered(question: dict[str, Any], by: str, answer: Any, **fields: Any) -> dict[str, Any]:
    given = {"question_id": question["id"], "by": by, "answer": answer}
    return entry("answer", **{"after_s": 60, **given, **fields})


def metadata(*entries: dict[str, Any], since_s: float | None = None, status: str = "") -> dict[str, Any]:
    """The `flow_metadata` of a flow; with a time, one that entered a status so long after an hour ago."""
    stamps = {}
    if since_s is not None:
        at = int((_BEGAN + timedelta(seconds=since_s)).timestamp() * 1_000_000)
        stamps = {"status": {"latest": [f"{at:016d}{uuid4().hex}", status]}}
    return {"control": list(entries), "_enrichment": stamps}


def waiting(
    *entries: dict[str, Any], status: str = "waiting_for_approval", since_s: float = 0
) -> dict[str, Any]:
    """Columns of a flow that waits since so many seconds after an hour ago."""
    return {
        "flow_status": status,
        "flow_metadata": json.loads(json.dumps(metadata(*entries, since_s=since_s, status=status))),
    }
