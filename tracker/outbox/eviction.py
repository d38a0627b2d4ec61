"""What goes first when an outbox is full of what goes last: what newer statuses and transitions replace."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from masterflow.domain.clock import parse_time
from masterflow.domain.events import Lane
from masterflow.domain.interruptions import Suppressed, pass_interruption
from masterflow.domain.statuses import FINAL_STATUSES
from masterflow.tracker.outbox.lanes import Lanes
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.segments import Segment, decode_record

#: First goes what a newer event replaces; then transitions; then errors. What makes a flow's status
#: stays, so that no row tells for ever what has long been over.
_REPLACED: Final = 1
_TRANSITION: Final = 2
_ERROR: Final = 3
_STAYS: Final = 4

#: What was looked through is looked through again once it has grown by this much, and by this part.
_GROWN_BYTES: Final = 64_000
_GROWN_RECORDS: Final = 200
_GROWN_PART: Final = 16

#: Which statuses of a flow no longer matter once a newer one of these came: docs/adr/0002.
_REPLACED_BY: Final = {
    "other": ("other", "failed", "reopening", "final"),
    "failed": ("failed", "reopening", "final"),
    "reopening": ("failed", "reopening", "final"),
    # The earliest one counts.
    "final": (),
}

#: What a newer one of the same phase replaces.
_TRANSITIONS: Final = ("phase_transitioned", "phase_began", "phase_ended")

_FIRST: Final = datetime.min.replace(tzinfo=UTC)

Key = tuple[Any, ...]

#: The place of the newest event under each key.
Newest = dict[Key, tuple[Any, ...]]


class _Fact(NamedTuple):
    """One thing that a record says: at which level it may go, and which newer ones replace it."""

    level: int
    key: Key | None = None
    replaced_by: Sequence[Key] = ()
    place: tuple[Any, ...] = ()


class Eviction:
    """Makes room in the lanes of one outbox, whose lock its caller holds."""

    def __init__(self, lanes: Lanes, losses: Losses, begin_segment: Callable[[Lane], None]) -> None:
        self._lanes = lanes
        self._losses = losses
        self._begin_segment = begin_segment
        #: What was dropped and not logged yet, by reason; logged by nobody who holds the lock.
        self.news: dict[str, object] = {}
        #: Those of the dropped segments whose files could not be deleted.
        self.dropped: list[Segment] = []
        #: The newest segment when all were compared, and how many records there were.
        self._compared = ("", 0)

    def make_room(self, lane: Lane, *, is_disk_full: bool = False) -> bool:
        """Drop the oldest details, or else, for what goes last, what matters least of it."""
        if self._drop_details(is_disk_full=is_disk_full):
            return True
        return lane == "vital" and self._thin_out(self._lanes["vital"])

    def _drop_details(self, *, is_disk_full: bool) -> bool:
        segment = next((segment for segment in self._lanes["detail"] if segment.size), None)
        if segment is None:
            return False
        if segment is self._lanes.open.get("detail") and not self._close_details():
            return False
        count = segment.pending_records
        segment.lost_records += count
        segment.under_way_records = 0
        segment.is_dropped = True
        self._losses.count("overflow_detail", count)
        self.news["overflow_detail"] = "the disk is full" if is_disk_full else "the outbox is full"
        self._lanes.forget(segment)
        try:
            # Emptied first, because the thread that syncs may still hold it open.
            os.truncate(segment.path, 0)
            segment.path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            self.dropped.append(segment)
            pass_interruption(error)
        return True

    def _close_details(self) -> bool:
        """Let the next detail begin a new segment; on a full disk that is the same file, emptied."""
        former = self._lanes.open["detail"]
        try:
            self._begin_segment("detail")
        except OSError as error:
            pass_interruption(error)
            with Suppressed(OSError):
                self._lanes.open["detail"] = former.emptied()
            if former is self._lanes.open["detail"]:
                return False
            self._lanes.add(self._lanes.open["detail"])
        return True

    def _thin_out(self, segments: Sequence[Segment]) -> bool:
        """Leave the least worthy out where there is any; a file that cannot be read is passed over."""
        count, freed_bytes = self._least_worthy(segments)
        if count:
            self._lanes.bytes -= freed_bytes
            self._losses.count("overflow_vital", count)
            self.news["overflow_vital"] = "the outbox is full of what goes last"
        return count > 0

    def _least_worthy(self, segments: Sequence[Segment]) -> tuple[int, int]:
        """Leave it out; return the records and bytes freed."""
        for level in (_REPLACED, _TRANSITION, _ERROR):
            for segment in segments:
                if segment.read_to < segment.size and (segment.thinned < level or _is_grown(segment)):
                    with Suppressed(OSError):
                        if freed := _thin_out(segment, level):
                            return freed
            if level == _REPLACED and (freed := self._compare(segments)):
                return freed
        return 0, 0

    def _compare(self, segments: Sequence[Segment]) -> tuple[int, int] | None:
        """Leave out what is replaced by something in a later segment."""
        records = sum(segment.records for segment in segments)
        name, known = segments[-1].path.name, self._compared[1]
        if name == self._compared[0] and records - known < max(_GROWN_RECORDS, known // _GROWN_PART):
            return None
        self._compared = (name, records)
        newest: Newest = {}
        count = freed_bytes = 0
        for segment in reversed(segments):
            with Suppressed(OSError):
                newest = _newest(_facts(segment.data(0, segment.size).split(b"\n")), newest)
                if freed := _leave_out(segment, _REPLACED, newest):
                    count, freed_bytes = count + freed[0], freed_bytes + freed[1]
        return (count, freed_bytes) if count else None


def _is_grown(segment: Segment) -> bool:
    return segment.size - segment.thinned_size >= max(_GROWN_BYTES, segment.thinned_size // _GROWN_PART)


def _thin_out(segment: Segment, level: int) -> tuple[int, int] | None:
    freed = _leave_out(segment, level)
    segment.thinned, segment.thinned_size = max(level, segment.thinned), segment.size
    return freed


def _leave_out(segment: Segment, level: int, newest: Newest | None = None) -> tuple[int, int] | None:
    """Rewrite what was not read yet without what goes at this level; return the records and bytes, if any."""
    size = segment.size
    *lines, tail = segment.data(segment.read_to, size).split(b"\n")
    facts = _facts(lines)
    newest = _newest(facts, {}) if newest is None else newest
    kept = [line for line, fact in zip(lines, facts, strict=True) if _level(fact, newest) > level]
    if len(kept) == len(lines):
        return None
    segment.rewrite_unread(b"\n".join([*kept, tail]))
    segment.lost_records += len(lines) - len(kept)
    return len(lines) - len(kept), size - segment.size


def _newest(records: Sequence[Sequence[_Fact]], known: Newest) -> Newest:
    """Return the newest place of each key, of these facts and those known before."""
    newest = known.copy()
    for facts in records:
        for fact in facts:
            if fact.key:
                newest[fact.key] = max(fact.place, newest.get(fact.key, fact.place))
    return newest


def _level(facts: Sequence[_Fact], newest: Newest) -> int:
    """Return the level at which a record goes: that of what is worth most in it."""
    return max(
        _REPLACED if any(newest.get(key, fact.place) > fact.place for key in fact.replaced_by) else fact.level
        for fact in facts
    )


def _facts(lines: Sequence[bytes]) -> list[list[_Fact]]:
    return [
        _facts_of(json.loads(record[1])) if (record := decode_record(line)) else [_Fact(_STAYS)]
        for line in lines
    ]


def _facts_of(event: Mapping[str, Any]) -> list[_Fact]:
    """Return what a record says; that of a phase's begin or end may also say the flow's status."""
    kind, flow = event.get("kind"), event.get("flow_id")
    if kind == "error_occurred":
        return [_Fact(_ERROR)]
    place = (parse_time(event.get("occurred_at")) or _FIRST, str(event.get("event_id")))
    if kind == "status_changed":
        return [_status_fact(flow, event, place)]
    if not (kind and event.get("phase")):
        return [_Fact(_STAYS)]
    key = (flow, "transition" if kind in _TRANSITIONS else kind, event["phase"])
    facts = [_Fact(_TRANSITION, key, [key], place)]
    if event.get("is_status_new"):
        facts.append(_status_fact(flow, {"status": event.get("flow_status")}, place))
    return facts


def _status_fact(flow: object, event: Mapping[str, Any], place: tuple[Any, ...]) -> _Fact:
    sort = _sort_of(event)
    return _Fact(_STAYS, (flow, sort), [(flow, other) for other in _REPLACED_BY[sort]], place)


def _sort_of(event: Mapping[str, Any]) -> str:
    status = event.get("status")
    if status in FINAL_STATUSES:
        return "final"
    if status == "failed":
        return "failed"
    return "reopening" if event.get("reopens") else "other"
