"""Proofs that a sign of life comes from a process that holds a key of the client account it speaks of."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from masterflow.domain.signing.settings import SigningKeys, keys_of
from masterflow.domain.signing.signatures import Signature, is_proof, sign

#: A process has flows of few accounts; nobody is made to verify more.
_MOST_PROOFS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a process says of itself in a sign, which its proofs cover."""

    sender_id: str
    host: str
    pid: int
    moment: int
    sequence: int
    #: The server's time of the sign, in milliseconds since 1970, as far as the process knows it.
    at_ms: int | None


def make_proofs(
    spoken: Spoken, flows: Mapping[UUID, Mapping[str, str]], keys: SigningKeys
) -> dict[str, list[str]]:
    """Return a proof for each account that has keys: `{account: [key id, signature]}`.

    `flows` has, by account, what is told of each flow. One proof covers all flows of an account, so that
    none can be added, left out or taken from an earlier sign.
    """
    proofs = {}
    for account, texts in flows.items():
        if proof := sign("life", _fields(spoken, account, texts.items()), keys_of(keys, account)):
            proofs[str(account)] = [proof.key_id, proof.value]
    return proofs


def is_proven(
    spoken: Spoken, account: UUID, texts: Iterable[tuple[str, str]], *, proofs: Any, keys: SigningKeys
) -> bool:
    """Return whether a process with one of the account's keys has told just these texts of its flows."""
    found = proofs.get(str(account)) if isinstance(proofs, dict) and len(proofs) <= _MOST_PROOFS else None
    match found:
        case [str(key_id), str(value)]:
            fields = _fields(spoken, account, texts)
            return is_proof("life", fields, keys_of(keys, account), Signature(key_id, value))
    return False


def _fields(spoken: Spoken, account: UUID, texts: Iterable[tuple[str, str]]) -> list[str | int | bytes]:
    digest = hashlib.sha256()
    for flow_id, text in sorted(texts):
        for part in (flow_id.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")):
            digest.update(b"%d:" % len(part))
            digest.update(part)
    return [
        spoken.sender_id,
        spoken.host,
        spoken.pid,
        spoken.moment,
        spoken.sequence,
        "" if spoken.at_ms is None else spoken.at_ms,
        str(account),
        digest.digest(),
    ]
