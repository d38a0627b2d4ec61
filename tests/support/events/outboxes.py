"""Outboxes on one spool, and what is in them."""

import json
from pathlib import Path
from typing import Any

from masterflow.domain.events import Lane
from masterflow.tasks.batch import Batch
from masterflow.tracker.outbox.losses import Losses
from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.outbox.window import Window
from tests.support.events.lines import event_line

BROKER = "redis://here:6379/0"


class Process:
    """What a process has of an outbox, without its threads: time passes when a test says so."""

    def __init__(self, spool: Path, *, broker: str = BROKER, **settings: Any) -> None:
        values = {"spool_dir": spool, "segment_bytes": 2_000, "confirm_timeout_s": 30, **settings}
        self.losses = Losses()
        self.outbox = Outbox(OutboxSettings.model_validate(values), self.losses, broker=broker)
        self.window = Window(self.losses, confirm_timeout_s=30, lock=self.outbox.lock, note=self.outbox.note)
        #: Which batches went out, in order, repetitions included.
        self.published: list[Batch] = []

    def say(self, *contents: Any, lane: Lane = "detail", **event: Any) -> None:
        for content in contents:
            self.outbox.append(lane, event_line(content, **event))

    def send(self, now: float = 0.0) -> list[Batch]:
        """Send what is due; return it."""
        self.window.restore(self.outbox.restored())
        before = len(self.published)
        while True:
            for parcel in self.window.due(now):
                if batch := self.window.batch(parcel, self.outbox.sender_id):
                    self.published.append(batch)
                    self.window.note_sent(parcel, now)
            unread = self.outbox.unread()
            if not unread or self.window.is_full or not self.window.take(unread):
                return self.published[before:]

    def confirm(self, *batches: Batch, now: float = 0.0) -> int:
        count = self.window.confirm([batch.batch_id for batch in batches], now)
        self.outbox.settle()
        return count

    def die(self) -> None:
        """Let go of everything, as a killed process does."""
        self.outbox.abandon()

    def check_numbers(self, reported: int) -> dict[str, int]:
        """Return what became of the events; everything that was reported is somewhere."""
        numbers = self.outbox.numbers()
        assert numbers["reported"] == reported
        assert sum(numbers[name] for name in ("pending", "under_way", "confirmed", "lost")) == reported
        assert numbers["lost"] == self.losses.counts().total()
        assert min(numbers.values()) >= 0
        return numbers


def contents(*batches: Batch) -> list[Any]:
    return [event["n"] for batch in batches for event in json.loads(batch.events)]
