"""What workers answer to a sender about its batches, and what a sender believes of it.

One Redis hash per sender: of each batch it was told of, by its id, the newest answer. It is one of

- `{"applied", "repeated", "dead", "key_id", "proof"}`: committed, in numbers of events. The proof is made
  with the key that the batch was signed with, over the batch's bytes, for whom it is, and these numbers. A
  sender that has keys of the account believes nothing else; without any there is no proof, and none is asked.
- `{"refused": reason}`: the worker cannot verify the batch, which therefore stays with its sender.
- `{"missing": [flow id]}`: it waits for the rows of these flows.

A sender asks for the batches that it waits for and for nothing else, so that what others put there costs it
nothing, however much it is.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

import redis

from masterflow.domain.redis_keys import (
    OUTBOXES_KEY,
    answers_key,
    former_confirmations_key,
    is_of_another_kind,
    sender_name,
)
from masterflow.domain.signing.settings import keys_of
from masterflow.domain.signing.signatures import Signature, is_proof
from masterflow.domain.signing.signer import Signer
from masterflow.tasks.batch import Batch
from masterflow.tasks.broker import BrokerUnavailable, cause_of, redis_client
from masterflow.tasks.settings import QueueSettings

# A sender that has not fetched them for an hour is gone; who adopts its outbox sends the batch again.
_KEPT_S: Final = 3600

_MOST_ANSWER_BYTES: Final = 2_000
_MOST_FLOWS: Final = 20
_MOST_LOGGED_FLOWS: Final = 10_000
_QUIET_S: Final = 60.0

_COUNTS: Final = ("applied", "repeated", "dead")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A batch that a sender waits for."""

    batch_id: str
    client_account_id: str
    #: Under which names it was sent.
    names: Collection[str]
    #: Gives the digest of the events that were sent under a name; None if they cannot be read now.
    digest: Callable[[str], bytes | None]

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return a batch as one that was sent once."""
        return cls(batch.batch_id, batch.client_account_id, (batch.sender_id,), lambda _: batch.digest)


def write_confirmation(pipeline: Any, batch: Batch, signer: Signer, *, counts: Mapping[str, int]) -> None:
    """Confirm a batch along with a pipeline; `counts` is {"applied", "repeated", "dead"}, in events."""
    if batch.sent_at is None:
        # Of a sender that knows no proofs, which reads a list.
        key = former_confirmations_key(batch.sender_id)
        pipeline.rpush(key, json.dumps({"batch_id": batch.batch_id, **counts}))
        pipeline.expire(key, _KEPT_S)
        return
    answer: dict[str, Any] = {name: counts.get(name, 0) for name in _COUNTS}
    if signer.keys:
        account, digest = batch.client_account_id, batch.digest
        fields = _fields(batch.sender_id, batch.batch_id, account, digest, answer)
        if signature := signer.sign("confirmation", fields):
            answer |= {"key_id": signature.key_id, "proof": signature.value}
    _write(pipeline, batch, answer)


def write_refusal(pipeline: Any, batch: Batch, reason: str) -> None:
    """Tell a sender, along with a pipeline, that its batch cannot be verified; over no other answer."""
    if batch.sent_at is not None:
        _write(pipeline, batch, {"refused": reason}, only_first=True)


def write_missing_rows(pipeline: Any, batch: Batch, flow_ids: Iterable[UUID]) -> None:
    """Tell a sender, along with a pipeline, which flows of its batch wait for their row."""
    if batch.sent_at is not None:
        _write(pipeline, batch, {"missing": sorted(map(str, flow_ids))[:_MOST_FLOWS]}, only_first=True)


def _write(pipeline: Any, batch: Batch, answer: dict[str, Any], *, only_first: bool = False) -> None:
    key = answers_key(batch.sender_id)
    (pipeline.hsetnx if only_first else pipeline.hset)(key, batch.batch_id, json.dumps(answer))
    pipeline.expire(key, _KEPT_S)


class ConfirmationInbox:
    """Where one sender hears what became of its batches; belongs to one thread.

    Beside it stands what that sender still waits for, for `/metrics`.
    """

    def __init__(self, settings: QueueSettings, sender_id: str) -> None:
        self._redis = redis_client(settings)
        self._keys = settings.signing_keys
        self._logged_flows: set[str] = set()
        self._warned_at: dict[str, float] = {}
        self._username = settings.redis.username
        self._sender_id = sender_id
        #: Answers that prove nothing, since the start.
        self.forged = 0

    def receive(self, awaited: Collection[Awaited]) -> dict[str, list[str]]:
        """Return the ids of the awaited batches that are committed, by the name under which they were sent.

        What proves nothing counts as none. All else that lies under these names is removed.

        Raises:
            BrokerUnavailable: Redis did not answer.
        """
        try:
            found = self._fetch(awaited)
        except redis.RedisError as error:
            raise BrokerUnavailable(f"Redis gave no confirmations ({cause_of(error)}).") from error
        return {
            name: [batch.batch_id for batch, text in answers if self._is_confirmed(name, batch, text)]
            for name, answers in found.items()
        }

    def note_backlog(self, backlog: Mapping[str, float | None]) -> None:
        """Note what waits in the outbox, which holds for a minute: {"events", "bytes", "lost", "oldest_at"}.

        Raises:
            BrokerUnavailable: Redis did not answer.
        """
        try:
            # By its own clock, which all who read it know as well.
            at: Any = self._redis.time()
            note = json.dumps({"at": at[0], **backlog, "forged": self.forged})
            self._redis.hset(OUTBOXES_KEY, self._name_of(self._sender_id), note)
        except redis.RedisError as error:
            raise BrokerUnavailable(f"Redis took no note ({cause_of(error)}).") from error

    def _name_of(self, sender_id: str) -> str:
        """Return what a sender is called in Redis."""
        return sender_name(self._username, sender_id)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _fetch(self, awaited: Iterable[Awaited]) -> dict[str, list[tuple[Awaited, str]]]:
        """Return the answers to what is awaited, by name, none of them longer than ours are."""
        by_name: dict[str, list[Awaited]] = {}
        for batch in awaited:
            for name in batch.names:
                by_name.setdefault(name, []).append(batch)
        names = list(by_name)
        names = [
            name
            for name, answer in zip(names, self._ask("hlen", ((name, ()) for name in names)), strict=True)
            if answer
        ]
        if not names:
            return {}
        each = [(name, batch) for name in names for batch in by_name[name]]
        sizes = self._ask("hstrlen", ((name, (batch.batch_id,)) for name, batch in each))
        wanted: dict[str, list[Awaited]] = {name: [] for name in names}
        for (name, batch), size in zip(each, sizes, strict=True):
            # What was not there yet may come before the rest is removed.
            if size <= _MOST_ANSWER_BYTES:
                wanted[name].append(batch)
        pipeline: Any = self._redis.pipeline(transaction=True)
        for name, batches in wanted.items():
            # At least one field has to be named.
            pipeline.hmget(answers_key(self._name_of(name)), [batch.batch_id for batch in batches] or [""])
            pipeline.unlink(answers_key(self._name_of(name)))
        texts: list[Any] = pipeline.execute()[::2]
        return {
            name: [(batch, text) for batch, text in zip(batches, answers, strict=False) if text is not None]
            for (name, batches), answers in zip(wanted.items(), texts, strict=True)
        }

    def _ask(self, command: str, keys: Iterable[tuple[str, tuple[str, ...]]]) -> list[int]:
        """Return a number of each hash; where somebody has put something else, it is removed, and it is 0."""
        keys = list(keys)
        pipeline: Any = self._redis.pipeline(transaction=False)
        for name, arguments in keys:
            getattr(pipeline, command)(answers_key(self._name_of(name)), *arguments)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        for place, answer in enumerate(answers):
            if is_of_another_kind(answer):
                self._redis.unlink(answers_key(self._name_of(keys[place][0])))
                self._note_forged()
                answers[place] = 0
            elif isinstance(answer, Exception):
                raise answer
        return answers

    def _is_confirmed(self, name: str, batch: Awaited, text: str) -> bool:
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        match answer:
            case {"applied": int(), "repeated": int(), "dead": int()}:
                if self._is_proven(name, batch, answer):
                    return True
            case {"refused": str()}:
                self._warn(
                    "refused",
                    "Workers cannot verify what this process sends, so it waits in the outbox: give both the"
                    " same ENRICHMENT_SIGNING_KEYS for client account %s.",
                    batch.client_account_id,
                )
                return False
            case {"missing": [*flow_ids]}:
                self._log_missing_rows(flow_ids)
                return False
        self._note_forged()
        return False

    def _is_proven(self, name: str, batch: Awaited, answer: Mapping[str, Any]) -> bool:
        keys = keys_of(self._keys, batch.client_account_id)
        if not keys:
            return True
        signature = Signature(str(answer.get("key_id")), str(answer.get("proof")))
        digest = batch.digest(name) if signature.key_id in keys else None
        if digest is None:
            return False
        fields = _fields(self._name_of(name), batch.batch_id, batch.client_account_id, digest, answer)
        return is_proof("confirmation", fields, keys, signature)

    def _note_forged(self) -> None:
        self.forged += 1
        self._warn(
            "forged",
            "%s confirmations so far prove nothing, and their batches are sent again: somebody forges them,"
            " or the workers lack keys of ENRICHMENT_SIGNING_KEYS that this process has.",
            self.forged,
        )

    def _log_missing_rows(self, flow_ids: Iterable[object]) -> None:
        if len(self._logged_flows) > _MOST_LOGGED_FLOWS:
            self._logged_flows.clear()
        for flow_id in {str(found) for found in flow_ids if _is_id(found)} - self._logged_flows:
            self._logged_flows.add(flow_id)
            _logger.warning(
                "Flow %s has no master row yet, so its reports wait for a while: make the row with"
                " create_master_flow, or pass create=True and flow_type to create_progress_tracker.",
                flow_id,
            )

    def _warn(self, topic: str, sentence: str, *values: object) -> None:
        """Log a sentence, once a minute for each topic."""
        now = time.monotonic()
        if now - self._warned_at.get(topic, -_QUIET_S) >= _QUIET_S:
            self._warned_at[topic] = now
            _logger.warning(sentence, *values)


def _fields(
    name: str, batch_id: str, client_account_id: str, digest: bytes, answer: Mapping[str, Any]
) -> list[str | int | bytes]:
    return [name, batch_id, client_account_id, digest, *(int(answer[count]) for count in _COUNTS)]


def _is_id(found: object) -> bool:
    try:
        return str(UUID(str(found))) == found
    except ValueError:
        return False
