"""How committed events become notices, which lie in Redis before the batch is confirmed.

So a crash between the commit and the notice brings the batch again, and with it the notice under the same id.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json
from redis import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain.errors import InputInvalid
from masterflow.domain.events import AnyEvent, FlowLost, StatusChanged, parse_event
from masterflow.domain.signing.signatures import Keys
from masterflow.repository.status.watched import read_notices
from masterflow.tasks.notices.notice import Notice, event_of, notices_of
from masterflow.tasks.notices.queue import NoticeQueue
from masterflow.tasks.notices.receivers import NoticeSettings

Rows = Mapping[UUID, Mapping[str, Any]]
#: What runs a read of rows: a worker's loop.
Run = Callable[[Callable[[async_sessionmaker[AsyncSession]], Awaitable[Any]]], Any]

#: What the watch would not find a second time, once it is in the rows.
_ONCE: Final = (FlowLost, StatusChanged)

_logger = logging.getLogger(__name__)


class Notices:
    """Hands over what receivers are to be told; costs nothing where there are none."""

    def __init__(self, redis: "Redis", keys: Keys, settings: NoticeSettings, run: Run) -> None:
        self._receivers = settings.receivers
        self._wanted = {event for one in self._receivers for event in one.events}
        self._queue = NoticeQueue(redis, keys)
        self._run = run

    def note(self, events: Iterable[AnyEvent], *, is_sure: bool = True) -> None:
        """Hand over what committed events give reason to; a RedisError or a TransientError passes."""
        meant = self._meant(events)
        if not meant:
            return
        flow_ids = list(dict.fromkeys(event.flow_id for event in meant))
        rows: Rows = self._run(partial(read_notices, flow_ids=flow_ids))
        found = list(notices_of(meant, rows, is_sure=is_sure))
        for receiver in self._receivers:
            mine = [one for one in found if receiver.wants(one.event, rows[one.flow_id])]
            self._queue.add(receiver.name, _each_once(mine), now_s=time.time())

    def intend(self, events: Iterable[AnyEvent]) -> list[str]:
        """Note what is about to be merged and would not be found again; return its ids."""
        meant = [event for event in self._meant(events) if isinstance(event, _ONCE)]
        self._queue.intend({str(event.event_id): event.model_dump_json() for event in meant})
        return [str(event.event_id) for event in meant]

    def forget(self, event_ids: Sequence[str]) -> None:
        """Forget what was noted so: its notices are handed over."""
        self._queue.forget_intended(event_ids)

    def catch_up(self) -> None:
        """Hand over what was noted by one who was killed then, where the rows show that it was merged."""
        if not self._receivers:
            return
        noted = self._queue.intended()
        if noted:
            self.note(_events(noted.values()), is_sure=False)
            self.forget(list(noted))

    def _meant(self, events: Iterable[AnyEvent]) -> list[AnyEvent]:
        if not self._wanted:
            return []
        return [event for event in events if event_of(event) in self._wanted]


def _each_once(notices: Iterable[Notice]) -> list[Notice]:
    return list({notice.id: notice for notice in notices}.values())


def _events(texts: Iterable[str]) -> list[AnyEvent]:
    found = []
    for text in texts:
        try:
            found.append(parse_event(from_json(text)))
        except (InputInvalid, ValueError):
            _logger.warning("What was noted before a merge is no event: %s", ascii(text[:100]))
    return found
