"""The task that beat sends every 5 s: one round of the watch, however many beats there are."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

from redis import RedisError

from masterflow.domain.errors import TransientError
from masterflow.domain.events import AnyEvent
from masterflow.domain.redis_keys import overdue_key
from masterflow.repository.status.watched import find_failed_as_lost, find_lost, read_watched
from masterflow.tasks.app import app
from masterflow.tasks.delivery.loop import WorkerLoop, worker_loop
from masterflow.tasks.delivery.merging import merge
from masterflow.tasks.settings import WatchSettings
from masterflow.tasks.watch import verdicts
from masterflow.tasks.watch.rounds import Holder, Round, forget, next_round

LOOK: Final = "watch.look"

#: Every so many rounds, all rows that are held are compared with who holds them.
_THOROUGH: Final = 6

_AT_ONCE: Final = 500
_MOST_ROWS: Final = 1_000
_MOST_NAMES: Final = 5
_TOLD_S: Final = 86_400

Rows = dict[UUID, Mapping[str, Any]]
T = TypeVar("T")

_logger = logging.getLogger(__name__)


@app.task(name=LOOK)
def look(*, proof: object = None) -> None:  # noqa: ARG001  the consumer has verified it
    """Make a round, unless another one was made just now; one that fails costs nothing but time."""
    loop = worker_loop()
    try:
        with next_round(loop.redis, loop.queue.signing_keys) as seen:
            if seen is not None:
                Watch(loop, WatchSettings()).make(seen)
    except (RedisError, TransientError) as error:
        _logger.warning("The watch waits for its next round: %s", error)


class Watch:
    """One round: what is seen, and what is told of it."""

    def __init__(self, loop: WorkerLoop, settings: WatchSettings) -> None:
        self._loop = loop
        self._settings = settings

    def make(self, seen: Round) -> None:
        """Tell what follows from what is seen."""
        self._loop.notices.catch_up()
        is_thorough = seen.number % _THOROUGH == 0
        if seen.refused and is_thorough:
            names = ", ".join(seen.refused[:_MOST_NAMES])
            _logger.warning("Signs of life bear no proof that fits, and count for nothing: %.500s", names)
        self._give_up(seen, seen.lost(self._settings.lost_after_s))
        returned = [one for one in seen.holders if one.lives and (one.is_new or is_thorough)]
        flow_ids = dict.fromkeys(flow_id for one in returned for flow_id in one.held)
        self._tell(verdicts.seen_again(seen, self._rows(flow_ids)))
        self._tell_late(seen)
        if is_thorough and self._settings.fail_lost_after_s:
            self._fail_lost(self._settings.fail_lost_after_s)

    def _give_up(self, seen: Round, silent: Sequence[Holder]) -> None:
        rows = self._rows(flow_id for one in silent for flow_id in one.held)
        for holder in silent:
            self._tell(verdicts.lost_by_silence(seen, holder, rows))
            # Only now: until the rows say it, the holder has to be known.
            forget(self._loop.redis, holder)

    def _tell_late(self, seen: Round) -> None:
        late = verdicts.late(seen, self._settings.deadlines)
        news = [one for one in late if not self._loop.redis.exists(overdue_key(one.event_id))]
        self._tell(news)
        for one in news:
            self._loop.redis.set(overdue_key(one.event_id), "1", ex=_TOLD_S)

    def _fail_lost(self, after_s: float) -> None:
        before = datetime.now(UTC) - timedelta(seconds=after_s)
        lost = self._loop.run(partial(find_lost, before=before, most=_MOST_ROWS))
        self._tell(event for row in lost for event in verdicts.failed(row, after_s))
        back = self._loop.run(partial(find_failed_as_lost, most=_MOST_ROWS))
        self._tell(verdicts.brought_back(row) for row in back)

    def _rows(self, flow_ids: Iterable[UUID]) -> Rows:
        rows: Rows = {}
        for part in _parts(flow_ids, _MOST_ROWS):
            rows |= self._loop.run(partial(read_watched, flow_ids=part))
        return rows

    def _tell(self, events: Iterable[AnyEvent]) -> None:
        """Merge what was found: it is in the rows when this returns, and handed over to be told outside.

        A TransientError or a RedisError passes; what was merged then is handed over by the next round.
        """
        for part in _parts(events, _AT_ONCE):
            intended = self._loop.notices.intend(part)
            self._loop.run(partial(merge, events=part))
            self._loop.notices.note(part)
            self._loop.notices.forget(intended)


def _parts(items: Iterable[T], most: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, most)):
        yield part
