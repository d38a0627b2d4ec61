"""What this process tells of flows whose holder is no more: itself as it ends, or one that it finds dead."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from masterflow.domain.clock import clock
from masterflow.domain.events import Event, Lane
from masterflow.domain.life.deaths import lost_event, witnessed
from masterflow.domain.life.holding import HOLDING, HeldFlow
from masterflow.tracker.life.holdings import process_holdings

#: An event's JSON, and when the outbox drops it.
Told = tuple[Lane, bytes]


def goodbye(flows: Iterable[HeldFlow], holder: str) -> Iterator[Told]:
    """Yield what a process that ends tells of the flows that it holds."""
    for held in flows:
        moment = clock.tick_microseconds(held.flow_id)
        yield "vital", _text(lost_event(held, cause="goodbye", holder=holder, moment=moment))


def last_words(folder: Path) -> list[Told]:
    """Return what is to be told of a dead process, whose folder the caller has locked; OSError passes."""
    return [("vital", _text(event)) for event in witnessed(folder)]


def has_witnessed(folder: Path) -> None:
    """Note that it was told; OSError passes."""
    (folder / HOLDING).unlink(missing_ok=True)
    process_holdings.dead.append(folder.name)


def _text(event: Event) -> bytes:
    return event.model_dump_json().encode()
