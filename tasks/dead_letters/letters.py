"""Events that can never be applied, kept on the broker's queue `enrichment.dead` for people to decide."""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from kombu import Connection
from kombu.exceptions import KombuError
from pydantic import ValidationError
from redis import Redis, RedisError

from masterflow.domain.clock import uuid7
from masterflow.domain.errors import SignatureInvalid
from masterflow.domain.events import describe
from masterflow.domain.payload.safe import safe_text
from masterflow.domain.redis_keys import COUNTERS_KEY
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signer import Signer
from masterflow.tasks.batch import Batch
from masterflow.tasks.dead_letters.letter import DeadLetter
from masterflow.tasks.dead_letters.stores import LetterStore, Remove, letter_store
from masterflow.tasks.dead_letters.unreadable import unreadable_letter
from masterflow.tasks.enqueue import BrokerUnavailable, Publisher, QueueSettings
from masterflow.tasks.guards.kombu import guard_named_codecs
from masterflow.tasks.inbox.admission import Admission, Refusal
from masterflow.tasks.inbox.attempts import seed_attempt

# Any UUID will do, so long as it stays the same.
_LETTER_IDS: Final = UUID("6f1d7a52-5a5e-4b0e-9a6d-6b9c1b7f0d11")

_MAX_ERROR_CHARS: Final = 1_000

__all__ = ["EVERY_LETTER", "DeadLetter", "DeadLetters", "Selection", "letter_about"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant; what is None does not matter."""

    reason: str | None = None
    flow_id: str | None = None
    client_account_id: str | None = None
    letter_id: UUID | None = None

    def holds(self, letter: DeadLetter) -> bool:
        """Return whether a letter is meant."""
        wanted = (self.reason, self.flow_id, self.client_account_id, self.letter_id)
        actual = (letter.reason, letter.flow_id, letter.client_account_id, letter.letter_id)
        return all(want in {None, is_} for want, is_ in zip(wanted, actual, strict=True))

    def wants_replay(self, letter: DeadLetter) -> bool:
        """Return whether a letter holds an event, and none that would be signed without anyone noticing."""
        is_forged = letter.reason == SignatureInvalid.reason
        return "excerpt" not in letter.event and (not is_forged or self.reason == letter.reason)


EVERY_LETTER: Final = Selection()


class DeadLetters:
    """The dead letters of one broker; belongs to one thread.

    Several people and workers may use them at once, and any of them may be killed: a letter is gone
    only once it was dropped on purpose or handed to the broker again. Every method raises
    `BrokerUnavailable` while the broker is away.
    """

    def __init__(self, connection: Connection, *, max_letters: int) -> None:
        guard_named_codecs()
        self._connection = connection
        self._max_letters = max_letters
        #: Why letters stayed when others were last sent again, and how many.
        self.refused: Counter[str] = Counter()
        errors: Any = (*connection.connection_errors, *connection.channel_errors)
        self._errors: tuple[type[Exception], ...] = (KombuError, OSError, RedisError, *errors)

    def put(self, letters: Sequence[DeadLetter], *, is_vouched_for: bool = True) -> int:
        """Keep letters; return how many of the oldest had to go for them, or of these.

        What nobody vouches for, anybody can write as often as he likes: it has half of the room, so that it
        pushes out nothing that was verified.
        """
        with self._store() as store:
            room = len(letters) if is_vouched_for else max(0, self._max_letters // 2 - store.count())
            if kept := letters[:room]:
                store.put([letter.model_dump_json() for letter in kept])
            return len(letters) - len(kept) + store.trim(self._max_letters)

    def read(self, selection: Selection = EVERY_LETTER, *, limit: int = 100) -> list[DeadLetter]:
        """Return the selected letters, the latest first."""
        with self._store() as store:
            found = [letter for letter, _ in _found(store, selection)]
        return sorted(found, key=lambda letter: letter.last_seen, reverse=True)[:limit]

    def drop(self, selection: Selection) -> int:
        """Forget the selected letters; return how many."""
        with self._store() as store:
            found = _found(store, selection)
            for _, removes in found:
                _remove(removes)
        return len(found)

    def replay(self, selection: Selection, *, publisher: Publisher, redis: "Redis") -> int:
        """Send the events of the selected letters through the same door again; return how many.

        They are signed by this, so what no worker vouches for stays, and `refused` says why; what is no
        event stays too. Without keys, what bore a wrong signature is sent only if the selection names that
        reason.
        """
        self.refused.clear()
        sent = 0
        with self._store() as store:
            for copies, removes in _copies(store, selection):
                if not selection.wants_replay(copies[-1]):
                    continue
                if letter := self._vouched(copies, publisher.settings):
                    _send_again(letter, _as_one(copies), publisher=publisher, redis=redis)
                    _remove(removes)
                    sent += 1
        self._count_refused(redis)
        return sent

    def _vouched(self, copies: list[DeadLetter], settings: QueueSettings) -> DeadLetter | None:
        """Return the newest copy that may be sent, or note why none may."""
        reason = ""
        for letter in reversed(copies):
            try:
                letter.check(settings)
            except SignatureInvalid as error:
                reason = reason or str(error)
            else:
                return letter
        self.refused[reason] += 1
        _logger.warning("Dead letter %s stays: %s", copies[-1].letter_id, reason)
        return None

    def _count_refused(self, redis: "Redis") -> None:
        # Not by `Counters`, which brings the database with it: a list of letters needs none.
        if not self.refused:
            return
        try:
            redis.hincrbyfloat(COUNTERS_KEY, "forged:letter", self.refused.total())
        except RedisError as error:
            _logger.warning("Refused letters are not counted: %s", error)

    def count(self) -> int:
        """Return how many letters lie there, copies included."""
        with self._store() as store:
            return store.count()

    @contextmanager
    def _store(self) -> Iterator[LetterStore]:
        try:
            with self._connection.channel() as channel:
                yield letter_store(self._connection, channel)
        except self._errors as error:
            self._connection.collect()
            raise BrokerUnavailable(f"The dead letters are out of reach: {error!r:.300}.") from error


def letter_about(refusal: Refusal, admission: Admission, settings: SigningSettings) -> DeadLetter:
    """Return the dead letter about one refusal of a message, signed if there is a key to sign with."""
    attempt = admission.attempt
    subject = str(refusal.subject.get("event_id") or json.dumps(refusal.subject, sort_keys=True))
    reason = refusal.error.reason
    letter = DeadLetter(
        letter_id=uuid5(_LETTER_IDS, f"{reason} {subject}"),
        reason=reason,
        error=safe_text(str(refusal.error), max_chars=_MAX_ERROR_CHARS),
        event=refusal.subject,
        first_seen=attempt.first_seen,
        last_seen=datetime.now(UTC),
        attempts=attempt.number,
        batch_id=admission.batch_id,
        sender_id=admission.sender_id,
        client_account_id=admission.client_account_id,
    )
    return letter.signed(settings, attempt.signer, is_verified=admission.is_verified)


def _found(store: LetterStore, selection: Selection) -> list[tuple[DeadLetter, list[Remove]]]:
    """Return the selected letters, oldest first, copies as one, with what removes each copy."""
    return [(_as_one(copies), removes) for copies, removes in _copies(store, selection)]


def _copies(store: LetterStore, selection: Selection) -> list[tuple[list[DeadLetter], list[Remove]]]:
    """Return the copies of each selected letter, oldest first, with what removes them."""
    found: dict[UUID, tuple[list[DeadLetter], list[Remove]]] = {}
    for text, remove in store.read():
        letter = _letter(text)
        if selection.holds(letter):
            copies, removes = found.setdefault(letter.letter_id, ([], []))
            copies.append(letter)
            removes.append(remove)
    return list(found.values())


def _letter(text: str) -> DeadLetter:
    try:
        return DeadLetter.model_validate_json(text)
    except ValidationError as error:
        _logger.warning("A message among the dead letters is none: %s", ascii(text[:200]))
        return DeadLetter.model_validate(unreadable_letter(text, describe(error)))


def _as_one(copies: list[DeadLetter]) -> DeadLetter:
    return copies[-1].model_copy(
        update={
            "first_seen": min(letter.first_seen for letter in copies),
            "last_seen": max(letter.last_seen for letter in copies),
            "attempts": max(len(copies), *(letter.attempts for letter in copies)),
        }
    )


def _remove(removes: list[Remove]) -> None:
    for remove in removes:
        remove()


def _send_again(letter: DeadLetter, past: DeadLetter, *, publisher: Publisher, redis: "Redis") -> None:
    batch_id = str(uuid7(time.time_ns() // 1000))
    signer = Signer(publisher.settings.keys_of(letter.client_account_id))
    seed_attempt(redis, batch_id, signer, first_seen=past.first_seen, tries=past.attempts)
    publisher.publish(
        Batch(
            batch_id=batch_id,
            sender_id="",
            client_account_id=letter.client_account_id,
            events=json.dumps([letter.event]),
            event_count=1,
            flow_ids=(letter.flow_id,) if letter.flow_id else (),
        )
    )
