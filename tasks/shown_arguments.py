"""What people may see of a task's arguments, in Flower and in logs: ids and numbers, and never a payload."""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from masterflow.tasks.batch import Batch

NOTHING: Final = "{...}"

#: How many of its flows a batch's message names.
MOST_FLOWS: Final = 3

_ID: Final = "'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'"
_IDS: Final = rf"\[(?:{_ID}(?:, {_ID})*(?:, \.\.\.)?)?\]"
_PART: Final = rf"'(?:batch_id|flow_id|flows|events)': (?:{_ID}|\d{{1,6}}|{_IDS})"
_HARMLESS: Final = re.compile(rf"\{{(?:{_PART}(?:, {_PART})*)?\}}")
_LONGEST: Final = 400


def shown_batch(batch: Batch) -> str:
    """Return the batch's id, how many events it holds, and the first of their flows."""
    parts = [f"'batch_id': '{batch.batch_id}'"]
    if batch.event_count:
        flows = [f"'{flow_id}'" for flow_id in batch.flow_ids[:MOST_FLOWS]]
        flows += ["..."] * (len(batch.flow_ids) > MOST_FLOWS)
        parts += [f"'events': {batch.event_count}", f"'flows': [{', '.join(flows)}]"]
    return f"{{{', '.join(parts)}}}"


def shown_chunk(flow_count: int) -> str:
    """Return how many flows a chunk of a backfill has."""
    return f"{{'flows': {flow_count}}}"


def shown(written: object, kwargs: Mapping[str, Any]) -> str:
    """Return what may be seen of a message: what its sender wrote, if that is harmless, else whose it is."""
    if isinstance(written, str) and len(written) <= _LONGEST and _HARMLESS.fullmatch(written):
        return written
    for name in ("flow_id", "batch_id"):
        if found := _id(kwargs.get(name)):
            return f"{{'{name}': '{found}'}}"
    return NOTHING


def _id(value: object) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None
