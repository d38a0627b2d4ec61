"""The proof that a task sent by its name alone comes from its client account."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json, to_json

from masterflow.domain.clock import uuid7_text
from masterflow.domain.errors import InputInvalid, SignatureInvalid
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signatures import Signature, sign, verify
from masterflow.domain.signing.signer import Signer

#: The keyword that holds the proof: {"signed_at": microseconds since 1970, "key_id", "signature"}.
PROOF: Final = "proof"


def signed_operation(name: str, kwargs: Mapping[str, Any], settings: SigningSettings) -> dict[str, Any]:
    """Return the keyword arguments of a task such as `enrichment.add_error_entry`, with a proof.

    They become plain JSON, and get an `event_id` if they have none, so that the message counts once however
    often somebody sends it again: `app.send_task(name, kwargs=signed_operation(name, {...}, settings))`.

    Raises:
        InputInvalid: they are no JSON, or their client account has no key in ENRICHMENT_SIGNING_KEYS.
    """
    given = {"event_id": uuid7_text(time.time_ns() // 1000)} | {
        key: value for key, value in kwargs.items() if value is not None and key != PROOF
    }
    try:
        plain: dict[str, Any] = from_json(to_json(given, inf_nan_mode="null"))
    except ValueError as error:
        raise InputInvalid(f"The arguments of {name} are no JSON: {error!s:.200}.") from error
    signed_at = time.time_ns() // 1000
    keys = settings.keys_of(plain.get("client_account_id"))
    proof = sign("operation", _fields(name, plain, signed_at), keys)
    if proof is None:
        raise InputInvalid("The client account has no key in ENRICHMENT_SIGNING_KEYS to sign with.")
    return plain | {PROOF: {"signed_at": signed_at, "key_id": proof.key_id, "signature": proof.value}}


def verified_operation(
    name: str, kwargs: Mapping[str, Any], settings: SigningSettings, *, now: datetime
) -> tuple[dict[str, Any], Signer]:
    """Return the arguments without their proof, and who vouches for them; without any keys, nobody has to.

    Raises:
        SignatureInvalid: they are unsigned, signed with another key, too old, or were changed.
    """
    own = {key: value for key, value in kwargs.items() if key != PROOF}
    if not settings.signing_keys:
        return own, Signer()
    match kwargs.get(PROOF):
        case {"signed_at": int(signed_at), "key_id": str(key_id), "signature": str(value)}:
            proof = Signature(key_id, value)
        case _:
            raise SignatureInvalid(
                "Signing keys are set, and this task bears no proof: make its arguments with"
                " masterflow.tasks.operation_proofs.signed_operation, or send a batch."
            )
    keys = settings.keys_of(own.get("client_account_id"))
    try:
        fields = _fields(name, own, signed_at)
    except (ValueError, RecursionError, TypeError) as error:
        raise SignatureInvalid("What was signed is plain JSON, and this is not.") from error
    verify("operation", fields, keys, proof)
    settings.check_age(signed_at, now=now)
    if "event_id" not in own:
        raise SignatureInvalid("A signed task names its event_id, without which it would count each time.")
    return own, Signer(keys, proof.key_id)


def _fields(name: str, kwargs: Mapping[str, Any], signed_at: int) -> tuple[str | int, ...]:
    return name, signed_at, json.dumps(kwargs, sort_keys=True, separators=(",", ":"), allow_nan=False)
