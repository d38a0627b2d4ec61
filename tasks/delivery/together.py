"""Messages that one child has taken at once, merged together, so that each row is written once.

What becomes of a message is its own matter. If anything is wrong with a flow, the messages that name it are
merged alone, which changes nothing about what is in the rows already.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from masterflow.domain.errors import DatabaseUnavailable
from masterflow.domain.events import AnyEvent
from masterflow.tasks.delivery.loop import WorkerLoop
from masterflow.tasks.delivery.merging import Merged
from masterflow.tasks.delivery.message import MessageMerge, merge_counted
from masterflow.tasks.delivery.retry import Retries

#: Rows of one transaction, which are locked until it ends; a message alone may have up to 1,000.
MAX_FLOWS: Final = 250

# With one more attempt, below the hard time limit of a task.
_RETRY_FOR_S: Final = 40.0


def run_together(loop: WorkerLoop, merges: Sequence[MessageMerge]) -> None:
    """Apply messages, all of them tried for the first time; then they may be acknowledged.

    After a TransientError, all of them must go back.
    """
    for group in _groups(merges):
        wanted = [merge.wanted() for merge in group]
        shared = _merge([event for events in wanted for event in events], loop) if len(group) > 1 else None
        wrong = _flows_at_fault(shared, wanted) if shared else frozenset[UUID]()
        for merge, events in zip(group, wanted, strict=True):
            is_fine = shared and wrong.isdisjoint(event.flow_id for event in events)
            merge.run(Merged(controlled=shared.controlled) if shared and is_fine else None)


def _groups(merges: Sequence[MessageMerge]) -> list[list[MessageMerge]]:
    """Return what may be merged together: messages of one account that share no event's id."""
    groups: dict[object, list[MessageMerge]] = {}
    known: set[tuple[str, UUID]] = set()
    for merge in merges:
        account = merge.client_account_id
        ids = {(account, event.event_id) for event in merge.wanted()}
        # Of two that are not the same event, only one would be merged.
        groups.setdefault(account if known.isdisjoint(ids) else merge, []).append(merge)
        known |= ids
    return list(groups.values())


def _merge(events: Sequence[AnyEvent], loop: WorkerLoop) -> Merged:
    """Merge events in transactions of not too many rows each; all of a flow in one.

    Raises:
        DatabaseUnavailable: it takes too long.
    """
    merged, retries = Merged(), Retries(_RETRY_FOR_S)
    for part in _parts(events):
        if retries.is_over:
            raise DatabaseUnavailable(
                "Postgres is too slow for messages that came together; try again later."
            )
        merged += retries.run(lambda part=part: merge_counted(loop, part))  # type: ignore[misc]
    return merged


def _parts(events: Sequence[AnyEvent]) -> Iterator[list[AnyEvent]]:
    by_flow: dict[UUID, list[AnyEvent]] = {}
    for event in events:
        by_flow.setdefault(event.flow_id, []).append(event)
    flow_ids = sorted(by_flow)
    starts = range(0, len(flow_ids), MAX_FLOWS)
    # Two children that take messages of the same flows begin at different ones, and wait less for each other.
    turn = os.getpid() % max(len(starts), 1)
    for start in [*starts[turn:], *starts[:turn]]:
        yield [event for flow_id in flow_ids[start : start + MAX_FLOWS] for event in by_flow[flow_id]]


def _flows_at_fault(merged: Merged, wanted: Sequence[Sequence[AnyEvent]]) -> frozenset[UUID]:
    refused = {event.flow_id for events in wanted for event in events if event.event_id in merged.refused}
    return merged.missing | merged.foreign | merged.hidden | refused
