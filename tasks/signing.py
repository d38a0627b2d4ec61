"""Proof that a batch comes from someone who may write for its client account."""

import hmac
from dataclasses import replace
from uuid import UUID

from pydantic import SecretStr

from masterflow.domain import SignatureInvalid
from masterflow.tasks.batch import Batch
from masterflow.tasks.settings import SigningKeys


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
