"""What tells the receivers: a thread of each worker for each of them, of which one at a time does so.

A receiver that hangs or fails delays nobody else, and no merge: these threads share nothing with either.
"""

import logging
import threading
import time
from typing import Final

from redis import RedisError

from masterflow.domain.backoff import Backoff
from masterflow.tasks.enqueue import redis_client
from masterflow.tasks.notices.queue import Entry, NoticeQueue
from masterflow.tasks.notices.receivers import NoticeSettings, Receiver
from masterflow.tasks.notices.transports import NoticeRefused, send
from masterflow.tasks.settings import QueueSettings

_INTERVAL_S: Final = 1.0
_AFTER_FAILURE_S: Final = 5.0
_QUIET_S: Final = 60.0

_logger = logging.getLogger(__name__)


class Post:
    """The threads of a worker that tell receivers; without any there is none."""

    def __init__(self, queue: QueueSettings, settings: NoticeSettings) -> None:
        self._queue = queue
        self._receivers = settings.receivers
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads that do not run."""
        if any(thread.is_alive() for thread in self._threads):
            return
        self._ended.clear()
        self._threads = [
            threading.Thread(target=self._run, args=(receiver,), name=f"notices-{receiver.name}", daemon=True)
            for receiver in self._receivers
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell nobody any more; what is under way is over in 20 s, or comes again."""
        self._ended.set()

    def _run(self, receiver: Receiver) -> None:
        postman = Postman(receiver, self._queue)
        pause_s = 0.0
        while not self._ended.wait(pause_s):
            try:
                pause_s = postman.turn(self._ended)
            except RedisError as error:
                _logger.warning("The notices for %s wait for Redis: %s", receiver.name, error)
                pause_s = _AFTER_FAILURE_S
            except Exception:
                # A mistake of ours, which must not end the thread: the notice that it is about waits on.
                _logger.exception("The notices for %s cannot be sent for now", receiver.name)
                pause_s = _AFTER_FAILURE_S


class Postman:
    """Tells one receiver what is due, unless another process does so."""

    def __init__(self, receiver: Receiver, settings: QueueSettings) -> None:
        self._receiver = receiver
        self._queue = NoticeQueue(redis_client(settings), settings.worker_keys)
        self._backoff = Backoff()
        self._warned_at = -_QUIET_S

    def turn(self, ended: threading.Event) -> float:
        """Tell what is due; return after how many seconds to look again."""
        name = self._receiver.name
        found = self._queue.due(name, now_s=time.time())
        if not found or not self._queue.lease(name):
            return _INTERVAL_S
        try:
            # Another process may have told some of it before it let go.
            for entry in self._queue.due(name, now_s=time.time()):
                if ended.is_set() or not self._queue.lease(name):
                    break
                if not self._tell(entry):
                    return max(_INTERVAL_S, self._backoff.retry_at - time.monotonic())
        finally:
            self._queue.release(name)
        return 0.0

    def _tell(self, entry: Entry) -> bool:
        """Tell one; return whether its receiver would take others."""
        name = self._receiver.name
        try:
            send(entry.notice, self._receiver, now_s=time.time())
        except NoticeRefused as error:
            self._warn(entry, error)
            self._queue.failed(name, entry, str(error), now_s=time.time(), is_final=error.is_final)
            if not error.is_away:
                return True
            self._backoff.note_failure()
            return False
        self._queue.told(name, entry.notice.id)
        self._backoff.note_success()
        return True

    def _warn(self, entry: Entry, error: NoticeRefused) -> None:
        """Log why it did not take a notice, once a minute."""
        now = time.monotonic()
        if now - self._warned_at >= _QUIET_S:
            self._warned_at = now
            _logger.warning(
                "Receiver %s did not take notice %s: %s", self._receiver.name, entry.notice.id, error
            )
