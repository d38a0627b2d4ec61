"""What a worker sees of the host that it runs on: processes that died with flows open."""

import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from masterflow.domain.errors import SettingsInvalid
from masterflow.domain.events import FlowLost
from masterflow.domain.life.deaths import broker_of, folders_that_hold, locked_if_dead, witnessed
from masterflow.domain.life.holding import HOLDING
from masterflow.domain.life.spool import SpoolSettings
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.tasks.batch import Batch
from masterflow.tasks.confirmations import Awaited
from masterflow.tasks.enqueue import (
    ConfirmationInbox,
    Publisher,
    QueueSettings,
    broker_address,
    redis_client,
)

#: An unconfirmed batch is sent again after this time.
_PATIENCE_S: Final = 30.0

_MOST_EVENTS: Final = 200

_logger = logging.getLogger(__name__)


class Witness:
    """Looks at the outboxes of a host every few seconds; an orchestrator that lives there does the same.

    What it tells is sent until a worker confirms it, and the dead process's note stays until then.
    """

    def __init__(self, settings: QueueSettings) -> None:
        self._spool = _spool()
        self._broker = broker_address(settings)
        self._publisher = Publisher(settings)
        self._sender_id = f"witness-{os.getpid()}-{uuid4().hex[:8]}"
        self._inbox = ConfirmationInbox(settings, self._sender_id)
        self._redis = redis_client(settings)
        #: The batches about each folder, and when they were sent.
        self._sent: dict[Path, tuple[list[Awaited], float]] = {}

    def look(self) -> None:
        """Tell of those that died; BrokerUnavailable, RedisError and OSError pass."""
        if self._spool is None:
            return
        folders = [one for one in folders_that_hold(self._spool) if broker_of(one) == self._broker]
        if not folders:
            self._sent.clear()
            return
        awaited = [one for sent, _ in self._sent.values() for one in sent]
        confirmed = set(self._inbox.receive(awaited).get(self._sender_id, [])) if awaited else set[str]()
        for folder in folders:
            with locked_if_dead(folder) as is_dead:
                if is_dead:
                    self._tell(folder, confirmed)

    def close(self) -> None:
        """Close the connections."""
        self._publisher.close()
        self._inbox.close()
        self._redis.close()

    def _tell(self, folder: Path, confirmed: set[str]) -> None:
        if folder in self._sent:
            sent, sent_at = self._sent[folder]
            sent[:] = [one for one in sent if one.batch_id not in confirmed]
            if not sent:
                (folder / HOLDING).unlink(missing_ok=True)
                del self._sent[folder]
                return
            if time.monotonic() - sent_at < _PATIENCE_S:
                return
        told = witnessed(folder)
        self._forget(folder.name)
        self._sent[folder] = [self._publish(events) for events in _by_account(told)], time.monotonic()
        if told:
            _logger.warning("A process of this host died with %d flows open: %s", len(told), folder.name)

    def _publish(self, events: Sequence[FlowLost]) -> Awaited:
        texts = [event.model_dump(mode="json") for event in events]
        batch = Batch(
            batch_id=str(uuid4()),
            sender_id=self._sender_id,
            client_account_id=str(events[0].client_account_id),
            events=json.dumps(texts),
            event_count=len(events),
            flow_ids=tuple(str(event.flow_id) for event in events[:10]),
        )
        self._publisher.publish(batch)
        return Awaited.of(batch)

    def _forget(self, sender_id: str) -> None:
        pipeline: Any = self._redis.pipeline(transaction=False)
        pipeline.zrem(ALIVE_KEY, sender_id)
        pipeline.delete(holds_key(sender_id))
        pipeline.execute()


def _spool() -> Path | None:
    """Return where the outboxes of this host are; None where nobody can keep one."""
    try:
        return SpoolSettings().spool_dir
    except SettingsInvalid:
        return None


def _by_account(events: Sequence[FlowLost]) -> list[list[FlowLost]]:
    accounts: dict[UUID, list[FlowLost]] = {}
    for event in events:
        accounts.setdefault(event.client_account_id, []).append(event)
    return [
        events[start : start + _MOST_EVENTS]
        for events in accounts.values()
        for start in range(0, len(events), _MOST_EVENTS)
    ]
