"""Proofs that a holder of a key wrote something: HMAC-SHA256 under a key made for one purpose alone.

What is signed for one purpose proves nothing for another, although the secret is the same. There are two
kinds of holders (`masterflow.domain.signing.settings`): a client account, whose keys its orchestrators and
the workers hold, and the operators, whose keys workers, API and flowctl hold. Orchestrators have none of
the latter. So what the workers or the API tell each other is signed with the operators' keys,

    signature = sign("request", [flow_id, request_id, text], settings.worker_keys)
    verify("request", [flow_id, request_id, text], settings.worker_keys, signature)

and what they tell an orchestrator with those of its client account, which it can verify:

    signature = sign("control", [flow_id, text], settings.keys_of(client_account_id))

`sign` gives None without a key, and `verify` refuses it: who takes unsigned words where nobody has keys
asks first whether there are any.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import SecretStr

from masterflow.domain.errors import SignatureInvalid

#: A holder's secrets by key id: the first one signs, all of them verify.
Keys = Mapping[str, SecretStr]

#: What is signed, and to whom it speaks.
Purpose = Literal[
    "batch",  # of an account, to the workers
    "operation",  # of an account, to the workers: a task by name
    "confirmation",  # of the workers, with the account's key, to the sender of a batch
    "attempt",  # of the workers, with the account's key, to each other
    "letter",  # of the workers, with theirs or the account's key, to whoever replays it
    "parked",  # of the workers, to each other
    "run",  # of beat, to the workers: a periodic task
    "notice",  # of the workers, to each other: what a receiver is to be told
    "chunk",  # of the operators, to the workers: flows to catch up
    "flag",  # of the operators, to everybody who holds their keys
    "request",  # of API and flowctl, to the workers: to cancel, pause, resume, answer
    "answer",  # of API and flowctl, to the workers
    "control",  # of the workers, with the account's key, to an orchestrator
    "life",  # of an account, to whoever watches over its flows or shows them: a sign of life
]

_LABEL: Final = b"masterflow 1 "


@dataclass(frozen=True, slots=True)
class Signature:
    """A proof, and which key made it."""

    key_id: str
    #: Hexadecimal HMAC-SHA256.
    value: str


def sign(purpose: Purpose, fields: Iterable[str | int | bytes], keys: Keys) -> Signature | None:
    """Return a proof of these fields, in this order, by the newest of a holder's keys; None without any."""
    newest = next(iter(keys.items()), None)
    return None if newest is None else _signature(purpose, fields, *newest)


def sign_as(purpose: Purpose, fields: Iterable[str | int | bytes], keys: Keys, key_id: str) -> Signature:
    """Return a proof by the key of this id, which the reader is known to hold; KeyError without it."""
    return _signature(purpose, fields, key_id, keys[key_id])


def is_proof(
    purpose: Purpose, fields: Iterable[str | int | bytes], keys: Keys, signature: Signature | None
) -> bool:
    """Return whether one of these keys has signed these fields for this purpose; in constant time."""
    secret = keys.get(signature.key_id) if signature else None
    if signature is None or secret is None:
        return False
    wanted = _signature(purpose, fields, signature.key_id, secret).value
    # A forged one may hold anything, also what compare_digest takes no text of.
    return hmac.compare_digest(wanted.encode(), _bytes(signature.value))


def verify(
    purpose: Purpose, fields: Iterable[str | int | bytes], keys: Keys, signature: Signature | None
) -> None:
    """Accept what one of these keys has signed for this purpose.

    Raises:
        SignatureInvalid: it is unsigned, signed with another key or for another purpose, or was changed.
    """
    if signature is None:
        raise SignatureInvalid("It bears no signature.")
    if signature.key_id not in keys:
        raise SignatureInvalid("It is signed with a key that is not known here.")
    if not is_proof(purpose, fields, keys, signature):
        raise SignatureInvalid("Its signature does not fit: it was changed, or signed with another key.")


def _signature(
    purpose: Purpose, fields: Iterable[str | int | bytes], key_id: str, secret: SecretStr
) -> Signature:
    own = hmac.digest(_bytes(secret.get_secret_value()), _LABEL + purpose.encode(), "sha256")
    # The length before each field keeps "ab", "c" from being "a", "bc".
    texts = (_bytes(field) for field in (key_id, *fields))
    content = b"".join(b"%d:%b" % (len(text), text) for text in texts)
    return Signature(key_id, hmac.digest(own, content, "sha256").hex())


def _bytes(field: str | int | bytes) -> bytes:
    if isinstance(field, bytes):
        return field
    # A forged message may hold lone surrogates, which plain UTF-8 refuses.
    return str(field).encode("utf-8", "surrogatepass")
