"""Mistakes to be planted into the real code: worlds have to find each."""

from collections.abc import Callable
from typing import Any

import pytest

from masterflow.domain.clock import HybridClock
from masterflow.tasks.confirmations import ConfirmationInbox
from masterflow.tasks.delivery.merging import Merged
from masterflow.tasks.delivery.message import MessageMerge
from masterflow.tasks.delivery.retry import Retries
from masterflow.tracker.life.witness import last_words
from masterflow.tracker.outbox import adoption, segments, sender, spool
from masterflow.tracker.outbox.eviction import Eviction
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.segments import Segment
from masterflow.tracker.outbox.sender import Sender
from masterflow.tracker.outbox.window import Window

Plant = Callable[[pytest.MonkeyPatch], None]


def _confirm_before_commit(plant: pytest.MonkeyPatch) -> None:
    run = MessageMerge.run

    def confirmed_first(self: Any, merged: Any = None) -> None:
        if self._admission.events:
            self._confirm_and_count(is_done=True)
        run(self, merged)

    plant.setattr(MessageMerge, "run", confirmed_first)


def _confirm_what_failed(plant: pytest.MonkeyPatch) -> None:
    run = Retries.run

    def swallowed(self: Any, attempt: Callable[[], Any]) -> Any:
        try:
            return run(self, attempt)
        except Exception:  # noqa: BLE001  this is the mistake
            return Merged()

    plant.setattr(Retries, "run", swallowed)


def _believe_every_batch_confirmed(plant: pytest.MonkeyPatch) -> None:
    receive = ConfirmationInbox.receive

    def all_of_them(self: Any, awaited: Any) -> Any:
        found = receive(self, awaited)
        return {name: [batch.batch_id for batch in awaited if name in batch.names] for name in found}

    plant.setattr(ConfirmationInbox, "receive", all_of_them)


def _lock_nobody_out(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(spool, "is_taken", lambda _: True)


def _delete_what_was_only_sent(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Segment, "is_settled", property(lambda self: self.read_to == self.size))


def _forget_what_a_dead_process_sent(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Outbox, "restored", lambda _: [])


def _never_send_again(plant: pytest.MonkeyPatch) -> None:
    due = Window.due
    plant.setattr(Window, "due", lambda self, now: (one for one in due(self, now) if not one.last_sending))


def _wait_before_the_first_sending(plant: pytest.MonkeyPatch) -> None:
    due = Window.due
    # The comparison is the wrong way round: what is due waits, and what waits is due.
    plant.setattr(Window, "due", lambda self, now: due(self, -now))


def _forget_to_count_what_is_confirmed(plant: pytest.MonkeyPatch) -> None:
    remove = Window._remove

    def unmarked(self: Any, parcel: Any, **options: Any) -> None:
        before = [span.segment.confirmed_records for span in parcel.spans]
        remove(self, parcel, **options)
        for span, confirmed in zip(parcel.spans, before, strict=True):
            span.segment.confirmed_records = confirmed

    plant.setattr(Window, "_remove", unmarked)


def _drop_errors_before_details(plant: pytest.MonkeyPatch) -> None:
    def make_room(self: Any, lane: str, *, is_disk_full: bool = False) -> bool:
        del lane
        is_roomier = self._thin_out(self._lanes["vital"]) or self._drop_details(is_disk_full=is_disk_full)
        return bool(is_roomier)

    plant.setattr(Eviction, "make_room", make_room)


def _trust_a_torn_record(plant: pytest.MonkeyPatch) -> None:
    class _Crc:
        crc32 = staticmethod(lambda _: 0)

    plant.setattr(segments, "zlib", _Crc)


def _follow_every_jump_of_the_clock(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(HybridClock, "_after_jump", lambda *arguments: arguments[2])


def _lose_without_a_count(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Outbox, "_lose", lambda *_: None)


def _tell_nobody_that_flows_are_lost(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(adoption, "last_words", lambda _: [])


def _call_every_held_flow_lost(plant: pytest.MonkeyPatch) -> None:
    # A process that takes over what others left believes that it is dead itself.
    def witnessed(outbox: Any, **options: Any) -> int:
        for lane, event in last_words(outbox.folder):
            outbox.append(lane, event)
        return adopt(outbox, **options)

    adopt = adoption.adopt_orphans
    plant.setattr(sender, "adopt_orphans", witnessed)


def _sync_nothing(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Segment, "sync", lambda _: None)


def _go_round_while_the_broker_fails(plant: pytest.MonkeyPatch) -> None:
    rest_s = Sender._rest_s

    def too_short(self: Any) -> float:
        is_failing = self._broker.is_failing
        return min(rest_s(self), self._broker.retry_at - self._sent_at - 1e9) if is_failing else rest_s(self)

    plant.setattr(Sender, "_rest_s", too_short)


def _repeat_at_a_steady_pace(plant: pytest.MonkeyPatch) -> None:
    note_sent = Window.note_sent

    def noted(self: Any, parcel: Any, *arguments: Any) -> None:
        wait_s = parcel.wait_s
        note_sent(self, parcel, *arguments)
        parcel.wait_s = wait_s

    plant.setattr(Window, "note_sent", noted)


PLANTS: dict[str, Plant] = {
    name.removeprefix("_").replace("_", " "): plant
    for name, plant in list(globals().items())
    if callable(plant) and getattr(plant, "__annotations__", {}).get("plant") is pytest.MonkeyPatch
}
