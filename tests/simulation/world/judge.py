"""Who says whether a world kept the promises: knows what was reported and what is in the rows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any
from uuid import UUID

from masterflow.domain.events import AnyEvent, FlowLost, FlowRetried
from tests.simulation.world.database import Database
from tests.simulation.world.processes import Orchestrator, Told
from tests.simulation.world.scheduler import Activity
from tests.support.events.reference_model import row_after

_AHEAD_S = 299.0
#: After so long what was reported is synced: 200 ms, and what the threads of a world take.
_SYNCED_AFTER_S = 0.25

#: So long a worker takes at most from what it saw in the database to the letter about it.
_WRITTEN_AFTER_S = 20.0

_SUM = ("pending", "under_way", "confirmed", "lost")

#: Of what reason an event may be lost only if the world had one of these faults.
_EXCUSES = {
    "disk": {"disk"},
    "corrupt": {"kill", "disk", "power"},
    "overflow_detail": {"disk", "small"},
    "overflow_vital": {"disk", "small"},
    "closed": {"exit"},
}


#: More often a second nothing of ours has something to do, however busy it is.
_BUSIEST = 2_000


#: More copies of one batch do not wait at once: repetitions come at twice the distance each.
_MOST_COPIES = 10


class Broken(AssertionError):
    """A promise was broken."""


class Judge:
    """Looks at each step, and at the end at everything."""

    def __init__(self, faults: Iterable[str], *, flow_grace_s: float) -> None:
        self._faults = frozenset(faults)
        self._flow_grace_s = flow_grace_s
        self._lost_vital: Counter[str] = Counter()

    def look(self, process: Orchestrator, activity: Activity) -> None:
        """Check what one process does and says of itself, between any two of its steps."""
        if activity.busy > _BUSIEST:
            raise Broken(f"{activity.name} of {process.name} goes round and round")
        numbers = process.numbers
        if numbers is None:
            return
        if sum(numbers[name] for name in _SUM) != numbers["reported"] or min(numbers.values()) < 0:
            raise Broken(f"{process.name} cannot account for its events: {numbers}")
        if not numbers["lost"]:
            return
        self._look_at_details(process)

    def _look_at_details(self, process: Orchestrator) -> None:
        lost_vital = process.delivery.losses.counts()["overflow_vital"]
        if lost_vital > self._lost_vital[process.name]:
            self._lost_vital[process.name] = lost_vital
            lanes = process.delivery._delivery.outbox._lanes
            if any(segment.size for segment in lanes["detail"]):
                raise Broken(f"{process.name} dropped what goes last, and kept details")

    def look_at_queue(self, waiting: Iterable[Mapping[str, Any]]) -> None:
        """Check that the queue does not fill with copies, whoever is away, beyond what a broker repeats."""
        if "broker_network" in self._faults:
            return  # Whoever hears no answer has to send again.
        copies = Counter(message["batch_id"] for message in waiting)
        if copies and max(copies.values()) > _MOST_COPIES * (2 if "broker" in self._faults else 1):
            raise Broken(f"{max(copies.values())} copies of one batch wait in the queue")

    def conclude(
        self,
        processes: Sequence[Orchestrator],
        database: Database,
        dead: Mapping[UUID, str],
        *,
        is_quiet: bool,
    ) -> None:
        """Check all rows, once everything was given the time to arrive."""
        if not is_quiet:
            raise Broken("not all of it has arrived in time")
        told: dict[UUID, Told] = {}
        losses: Counter[str] = Counter()
        for process in processes:
            told |= process.told
            losses += process.delivery.losses.counts()
        lost = {event.event_id: event for event in database.applied.values() if isinstance(event, FlowLost)}
        self._check_lost(processes, {(one.holder, one.flow_id) for one in lost.values()}, dead)
        if invented := database.applied.keys() - told.keys() - lost.keys():
            raise Broken(f"nobody reported {sorted(map(str, invented))[:3]}")
        arrived = database.applied.keys() | dead.keys()
        self._check_losses([one for key, one in told.items() if one.is_done and key not in arrived], losses)
        for flow_id in database.rows:
            events = [one.event for one in told.values() if one.event.flow_id == flow_id]
            self._check_row(database, flow_id, events)

    def objection_to_letter(
        self,
        event: Mapping[str, Any],
        reason: str,
        processes: Sequence[Orchestrator],
        database: Database,
        now: float,
    ) -> Broken | None:
        """Return what is wrong with a dead letter.

        One may be about an event whose reporter began when its clock was wrong, or whose flow has no row
        and was waited for.
        """
        event_id = UUID(str(event.get("event_id")))
        told = next((one.told[event_id] for one in processes if event_id in one.told), None)
        owner = told.by if told else _holder(str(event.get("holder")), processes)
        if owner is not None and reason == "clock_ahead":
            if (owner.clock_error_s or 0.0) < _AHEAD_S:
                return Broken(
                    f"{event_id} is set aside for its time, though its reporter began at the right one"
                )
            return None
        if told is not None and reason == "flow_not_found":
            # It may come while the letter about it is being written.
            came_at = database.came_at.get(told.event.flow_id, now)
            if now - came_at > _WRITTEN_AFTER_S or now - told.at < self._flow_grace_s:
                return Broken(f"{event_id} is set aside, though its flow was there or not yet waited for")
            return None
        return Broken(f"{event_id} is set aside: {reason}")

    @staticmethod
    def objection_to_verdict(event: FlowLost, processes: Iterable[Orchestrator]) -> Broken | None:
        """Return what is wrong as it is merged that a flow is lost: its process must be no more, or end."""
        holder = _holder(event.holder, processes)
        if holder is None or not (holder.is_dead or holder.is_leaving):
            return Broken(f"{event.flow_id} is told to be lost, and {event.holder} lives")
        return None

    def _check_lost(
        self,
        processes: Iterable[Orchestrator],
        told: Set[tuple[str, UUID]],
        dead: Mapping[UUID, str],
    ) -> None:
        if self._faults & {"disk", "power", "small"} or dead:
            return
        for process in (one for one in processes if one.is_dead):
            for flow_id in process.holds:
                if not any((name, flow_id) in told for name in process.names):
                    raise Broken(f"nobody tells that {flow_id} is lost with {process.name}")

    def _check_losses(self, missing: Iterable[Told], losses: Counter[str]) -> None:
        unexplained = Counter(one.lane for one in missing if not self._is_lost_to_power(one))
        if unexplained.total() > losses.total():
            raise Broken(f"{unexplained.total()} events are gone, {dict(losses)} counted as lost")
        if unexplained["vital"] > losses.total() - losses["overflow_detail"]:
            raise Broken(f"{unexplained['vital']} events that go last are gone, of {dict(losses)}")
        for reason in losses:
            if not self._faults & _EXCUSES.get(reason, set()):
                raise Broken(f"{losses[reason]} events were lost ({reason}) without a reason")

    def _is_lost_to_power(self, told: Told) -> bool:
        """Return whether its computer lost its power, or its process died, too shortly after an event."""
        process = told.by
        for cut_at in (one for one in process.computer.cuts_s if one >= told.at):
            ended_at = min(cut_at, process.died_at)
            if "disk" in self._faults or process.fsync == "never":
                return True
            if process.fsync == "interval" and ended_at - told.at < _SYNCED_AFTER_S:
                return True
            if any(start <= ended_at and end >= told.at for start, end in process.freezes):
                return True
        return False

    def _check_row(self, database: Database, flow_id: UUID, told: Iterable[AnyEvent]) -> None:
        applied = [event for event in database.applied.values() if event.flow_id == flow_id]
        row = database.rows[flow_id]
        if not _is_same(row, row_after(database.first_rows[flow_id], applied)):
            raise Broken(f"the row of {flow_id} is not what its events make of it")
        # Without the model: nothing counts twice, and nothing that is in the row does not count.
        fewest, most = (sum(isinstance(one, FlowRetried) for one in events) for events in (applied, told))
        if not fewest <= row["retry_count"] <= most:
            raise Broken(
                f"{row['retry_count']} retries of {flow_id}, of {fewest} in its row and {most} reported"
            )


def _holder(name: str, processes: Iterable[Orchestrator]) -> Orchestrator | None:
    return next((one for one in processes if name in one.names), None)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[column] == other[column] for column in one if column != "updated_at")
