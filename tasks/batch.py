"""The message that carries events from an outbox to a worker, and the proof of who may send it."""

import hashlib
import time
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from masterflow.domain import SignatureInvalid
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signatures import Keys, Signature, verify
from masterflow.domain.signing.signatures import sign as sign_fields
from masterflow.domain.signing.signer import Signer


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Events of one client account, at most 500 of them and 1 MB."""

    batch_id: str
    #: To whom the worker confirms that the batch is committed.
    sender_id: str
    client_account_id: str
    #: The text of a JSON array of events.
    events: str
    #: When this copy was sent, in microseconds since 1970; senders before the first proofs say nothing.
    sent_at: int | None = None
    key_id: str | None = None
    #: Hexadecimal HMAC-SHA256.
    signature: str | None = None
    #: For people who look at the message; no part of it.
    event_count: int = 0
    flow_ids: tuple[str, ...] = ()

    def kwargs(self) -> dict[str, str | int | None]:
        """Return the keyword arguments of the task."""
        return {
            "batch_id": self.batch_id,
            "sender_id": self.sender_id,
            "client_account_id": self.client_account_id,
            "events": self.events,
            "sent_at": self.sent_at,
            "key_id": self.key_id,
            "signature": self.signature,
        }

    @cached_property
    def digest(self) -> bytes:
        """The SHA-256 of the events, which is what signature and confirmation cover of them."""
        return digest_of(self.events.encode("utf-8", "surrogatepass"))


def digest_of(events: bytes) -> bytes:
    """Return the SHA-256 of the text of a batch's events."""
    return hashlib.sha256(events).digest()


def sign(batch: Batch, keys: Keys) -> Batch:
    """Return the batch signed as sent now with the newest of its account's keys; unsigned without one."""
    sent = replace(batch, sent_at=time.time_ns() // 1000 if batch.sent_at is None else batch.sent_at)
    if not keys:
        return sent
    signature = sign_fields("batch", _fields(sent, batch.digest), keys)
    return replace(sent, key_id=signature.key_id, signature=signature.value) if signature else sent


def verified(batch: Batch, settings: SigningSettings, *, now: datetime) -> Signer:
    """Return who signed a batch; without any keys configured, every batch is accepted, and nobody is.

    Raises:
        SignatureInvalid: the batch is unsigned, signed too long ago, with an unknown key or another
            account's, or was changed.
    """
    if not settings.signing_keys:
        return Signer()
    keys = settings.keys_of(batch.client_account_id)
    if not keys:
        raise SignatureInvalid("Its client account has no key here.")
    if batch.key_id is not None and batch.sent_at is None:
        raise SignatureInvalid("It is signed without the time at which it was sent; update its sender.")
    signature = None if batch.key_id is None else Signature(batch.key_id, batch.signature or "")
    verify("batch", _fields(batch, batch.digest), keys, signature)
    settings.check_age(batch.sent_at or 0, now=now)
    return Signer(keys, batch.key_id)


def _fields(batch: Batch, digest: bytes) -> list[str | int | bytes]:
    sent_at = batch.sent_at or 0
    # The name of the task is in the purpose: no other task takes a batch.
    return [batch.batch_id, batch.sender_id, batch.client_account_id, sent_at, digest]
