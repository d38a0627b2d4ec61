"""The segments of one outbox by lane, oldest first, and what became of all that they held."""

from bisect import insort
from operator import attrgetter
from typing import Final, get_args

from masterflow.domain.events import Lane
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.segments import Segment

LANES: Final[tuple[Lane, ...]] = get_args(Lane)

_name = attrgetter("path.name")


class Lanes:
    """Two lanes of segments; its user holds the outbox's lock.

    Each event that was reported is pending, under way, confirmed or lost, also once its segment is gone.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._segments: dict[Lane, list[Segment]] = {lane: [] for lane in LANES}
        #: Those that take what is reported.
        self.open: dict[Lane, Segment] = {}
        #: What all of them hold, and what is on its way into them.
        self.bytes = 0
        self._gone = {"reported": 0, "confirmed": 0, "lost": 0}

    def __getitem__(self, lane: Lane) -> list[Segment]:
        return self._segments[lane]

    def all(self) -> list[Segment]:
        """Return the segments that hold events, or may."""
        return [segment for lane in LANES for segment in self._segments[lane]]

    def closed(self) -> list[Segment]:
        """Return those that take nothing more."""
        return [segment for segment in self.all() if segment not in self.open.values()]

    def add(self, segment: Segment) -> None:
        """Take in a segment at its place in time."""
        insort(self._segments[segment.lane], segment, key=_name)

    def forget(self, segment: Segment) -> None:
        """Take out a segment of which nothing is pending any more; what became of its events stays known."""
        if segment not in self._segments[segment.lane]:
            return
        if missing := segment.balance():
            self._losses.count("corrupt", missing)
        self._segments[segment.lane].remove(segment)
        self.bytes -= segment.size
        self._gone["reported"] += segment.records
        self._gone["confirmed"] += segment.confirmed_records
        self._gone["lost"] += segment.lost_records

    def count_refused(self) -> None:
        """Count an event that no segment could take."""
        self._gone["reported"] += 1
        self._gone["lost"] += 1

    def unread(self) -> list[tuple[Segment, int]]:
        """Return the segments with records never sent, and the size of each, until it is rewritten."""
        unread = [segment for segment in self.all() if segment.read_to < segment.size]
        for segment in unread:
            segment.seen_rewrites = segment.rewrites
        return [(segment, segment.size) for segment in unread]

    def numbers(self, *, late: int = 0) -> dict[str, int]:
        """Return what became of all that was reported or adopted: the other four add up to `reported`.

        `late` is what was reported and has no place here yet.
        """
        segments = self.all()
        under_way = sum(segment.under_way_records for segment in segments)
        return {
            "reported": self._gone["reported"] + sum(segment.records for segment in segments) + late,
            "pending": sum(segment.pending_records for segment in segments) - under_way + late,
            "under_way": under_way,
            "confirmed": self._gone["confirmed"] + sum(segment.confirmed_records for segment in segments),
            "lost": self._gone["lost"] + sum(segment.lost_records for segment in segments),
        }
