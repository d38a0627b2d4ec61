"""Whether somebody still works on a flow: alive, silent, lost, or held by nobody of ours."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from masterflow.domain.json_shapes import as_map
from masterflow.domain.statuses import FlowStatus

Liveness = Literal["alive", "silent", "lost"]

#: Statuses in which a process works on the flow; in all others it waits for a human or is over.
OPEN_STATUSES: Final[frozenset[FlowStatus]] = frozenset({"initialized", "active", "processing"})

#: A process whose last sign is no older lives.
FRESH_S: Final = 15.0

#: A process of which one of these was told holds nothing any more, whatever its last sign says.
_DEAD: Final = frozenset({"witnessed", "goodbye"})


def is_lost(status: str, metadata: object) -> bool:
    """Return whether the row of a flow says that it is lost; `is_lost.sql` does the same.

    It is, while its status is open and nothing that it reported is newer than the last thing that was
    heard of the process that is gone. `metadata` is `flow_metadata` with its bookkeeping.
    """
    row = as_map(metadata)
    kept = as_map(row.get("_enrichment"))
    stamp = as_map(as_map(kept.get("clocks")).get("flow_metadata")).get("lost")
    if status not in OPEN_STATUSES or not isinstance(stamp, str) or not isinstance(row.get("lost"), dict):
        return False
    newest = kept.get("newest")
    return not isinstance(newest, str) or stamp.encode() >= newest.encode()


def lost_facts(metadata: object) -> Mapping[str, Any]:
    """Return who is gone: `{"cause", "holder", "host", "last_sign_at", "phase"}`, empty where nobody is."""
    return as_map(as_map(metadata).get("lost"))


def dead_holder(lost: object, *, is_lost: bool) -> str | None:
    """Return which process is dead for certain, from what the row of a lost flow says of it."""
    facts = as_map(lost)
    return str(facts.get("holder")) if is_lost and facts.get("cause") in _DEAD else None


def liveness_of(status: str, *, is_lost: bool, sign_ages_s: Iterable[float]) -> Liveness | None:
    """Return what is known of the processes that hold a flow, from the ages of their last signs.

    None: it waits for a human, is over, or no process that gives signs holds it.
    """
    if status not in OPEN_STATUSES:
        return None
    ages = list(sign_ages_s)
    if any(age <= FRESH_S for age in ages):
        return "alive"
    if is_lost:
        return "lost"
    return "silent" if ages else None
