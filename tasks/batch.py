"""The message that carries events from an outbox to a worker, and the proof of who may send it."""

import hmac
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import SecretStr

from masterflow.domain import SignatureInvalid
from masterflow.tasks.settings import SigningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events of one client account, at most 500 of them and 1 MB."""

    batch_id: str
    #: To whom the worker confirms that the batch is committed.
    sender_id: str
    client_account_id: str
    #: The text of a JSON array of events, which is what the signature covers.
    events: str
    key_id: str | None = None
    #: Hexadecimal HMAC-SHA256.
    signature: str | None = None
    #: For people who look at the message; no part of it.
    event_count: int = 0
    flow_ids: tuple[str, ...] = ()

    def kwargs(self) -> dict[str, str | None]:
        """Return the keyword arguments of the task."""
        return {
            "batch_id": self.batch_id,
            "sender_id": self.sender_id,
            "client_account_id": self.client_account_id,
            "events": self.events,
            "key_id": self.key_id,
            "signature": self.signature,
        }


def sign(batch: Batch, keys: SigningKeys) -> Batch:
    """Return the batch signed with the newest key of its client account, or as it is if there is none."""
    own_keys = keys.get(UUID(batch.client_account_id))
    if not own_keys:
        return batch
    key_id, secret = next(iter(own_keys.items()))
    return replace(batch, key_id=key_id, signature=_signature(batch, secret))


def verify(batch: Batch, keys: SigningKeys) -> None:
    """Accept a batch that its client account signed; without any keys configured, accept every batch.

    Raises:
        SignatureInvalid: the batch is unsigned, its key is unknown or another account's, or it was changed.
    """
    if not keys:
        return
    try:
        secret = keys.get(UUID(batch.client_account_id), {}).get(batch.key_id or "")
    except ValueError as error:
        raise SignatureInvalid("The batch names no client account.") from error
    if secret is None:
        raise SignatureInvalid("The batch is not signed with a key of its client account.")
    if not hmac.compare_digest(_bytes(_signature(batch, secret)), _bytes(batch.signature or "")):
        raise SignatureInvalid("The signature does not fit the batch.")


def _signature(batch: Batch, secret: SecretStr) -> str:
    parts = (batch.batch_id, batch.sender_id, batch.client_account_id, batch.events)
    return hmac.digest(_bytes(secret.get_secret_value()), _bytes("\n".join(parts)), "sha256").hex()


def _bytes(text: str) -> bytes:
    # A forged message may hold lone surrogates, which plain UTF-8 refuses.
    return text.encode("utf-8", "surrogatepass")
