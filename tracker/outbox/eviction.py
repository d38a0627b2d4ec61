"""What goes first when an outbox is full of what goes last: what newer statuses and transitions replace."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from masterflow.tracker.outbox.segments import Segment, decode_record

#: Goes first: what a newer one of the same segment replaces; then transitions; then errors. The newest
#: status of each flow stays, so that no row tells for ever what has long been over.
LEVELS: Final = (1, 2, 3)

#: An open segment is looked through again once it has grown by this much.
_GROWN_BYTES: Final = 64_000

_ERROR: Final = "error_occurred"
_STATUS: Final = "status_changed"


def thin_out(segments: Sequence[Segment]) -> tuple[int, int]:
    """Leave the least worthy out of the first segment that has any; return the records and bytes freed.

    A file that cannot be rewritten is passed over.
    """
    for level in LEVELS:
        for segment in segments:
            size, is_grown = segment.size, segment.size - segment.thinned_size >= _GROWN_BYTES
            if segment.read_to < size and (segment.thinned < level or is_grown):
                with suppress(OSError):
                    if count := _thin_out(segment, level):
                        segment.lost_records += count
                        return count, size - segment.size
    return 0, 0


def _thin_out(segment: Segment, level: int) -> int:
    *lines, tail = segment.data(segment.read_to, segment.size).split(b"\n")
    kept = [line for line, is_kept in zip(lines, _kept(lines, level), strict=True) if is_kept]
    if len(kept) < len(lines):
        segment.rewrite_unread(b"\n".join([*kept, tail]))
    segment.thinned, segment.thinned_size = max(level, segment.thinned), segment.size
    return len(lines) - len(kept)


def _kept(lines: Sequence[bytes], level: int) -> list[bool]:
    facts = [_facts(line) for line in lines]
    newest = {key: place for place, (_, key) in enumerate(facts)}
    return [
        key is None or _level(kind, is_newest=newest[key] == place) > level
        for place, (kind, key) in enumerate(facts)
    ]


def _level(kind: str, *, is_newest: bool) -> int:
    """Return the level at which a record goes; a higher one than there is if it stays."""
    if kind == _ERROR:
        return 3
    if not is_newest:
        return 1
    return LEVELS[-1] + 1 if kind == _STATUS else 2


def _facts(line: bytes) -> tuple[str, tuple[Any, ...] | None]:
    """Return an event's kind, and what a newer one must share with it to replace it; None if none can."""
    record = decode_record(line)
    event = json.loads(record[1]) if record else {}
    kind, flow = event.get("kind", ""), event.get("flow_id")
    if kind == _STATUS:
        # A retry or resume opens what has failed, whatever status follows it.
        return kind, (kind, flow, bool(event.get("reopens")))
    if kind == _ERROR:
        return kind, (kind, event.get("event_id"))
    if kind and event.get("phase"):
        return kind, (kind, flow, event["phase"])
    return kind, None
