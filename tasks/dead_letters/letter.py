"""One dead letter, and the proof that a worker wrote it about what it had verified."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from masterflow.domain.errors import SignatureInvalid
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signatures import Keys, Signature, is_proof, sign
from masterflow.domain.signing.signer import Signer


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


#: A time in UTC unless it says otherwise: one without an offset could not be sorted among the others.
Moment = Annotated[datetime, AfterValidator(_aware)]


class LetterProof(BaseModel):
    """Who wrote a letter: a holder of the operators' keys, or of its client account's."""

    model_config = ConfigDict(frozen=True)

    by: Literal["workers", "account"]
    #: Whether the writer knew who had sent what the letter is about.
    is_verified: bool
    key_id: str
    value: str


class DeadLetter(BaseModel):
    """One refused event; its copies, one per time it was refused for the same reason, share an id."""

    model_config = ConfigDict(frozen=True)

    letter_id: UUID
    reason: str
    #: A sentence that says what is wrong; it may quote the event, so secrets are masked here too.
    error: str
    #: The event as JSON, secrets masked; `{"excerpt": text}` of what is no event.
    event: dict[str, JsonValue]
    first_seen: Moment
    last_seen: Moment
    attempts: Annotated[int, Field(ge=0)]
    batch_id: str
    sender_id: str
    client_account_id: str
    #: None where nobody has keys.
    proof: LetterProof | None = None

    @model_serializer(mode="wrap")
    def _without_empty_proof(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        if self.proof is None:
            fields.pop("proof", None)
        return fields

    @property
    def flow_id(self) -> str | None:
        """Return the flow the event names, if it does."""
        flow_id = self.event.get("flow_id")
        return flow_id if isinstance(flow_id, str) else None

    def signed(self, settings: SigningSettings, signer: Signer, *, is_verified: bool) -> Self:
        """Return it with a worker's proof: by the operators' key, else by that of what it is about."""
        by: Literal["workers", "account"] = "workers" if settings.worker_keys else "account"
        keys = settings.worker_keys or signer.keys
        signature = sign("letter", self._fields(by, is_verified=is_verified), keys)
        if signature is None:
            return self
        proof = LetterProof(by=by, is_verified=is_verified, key_id=signature.key_id, value=signature.value)
        return self.model_copy(update={"proof": proof})

    def check(self, settings: SigningSettings) -> None:
        """Accept a letter that may be sent again, which is signed anew in the name of its account.

        Raises:
            SignatureInvalid: it was written by hand, or is about what nobody has vouched for.
        """
        if not settings.worker_keys and not settings.signing_keys and self.proof is None:
            return
        proof, own = self.proof, settings.keys_of(self.client_account_id)
        if proof is None:
            raise SignatureInvalid("no worker with keys wrote it")
        keys: Keys = settings.worker_keys if proof.by == "workers" else own
        if proof.key_id not in keys:
            raise SignatureInvalid("the key it is signed with is not known here")
        fields = self._fields(proof.by, is_verified=proof.is_verified)
        if not is_proof("letter", fields, keys, Signature(proof.key_id, proof.value)):
            raise SignatureInvalid("its signature does not fit")
        if not proof.is_verified:
            raise SignatureInvalid("the worker could not verify what it is about")
        if settings.signing_keys and not own:
            raise SignatureInvalid("its client account has no key here")

    def _fields(self, by: str, *, is_verified: bool) -> list[str | int | bytes]:
        content = self.model_dump(mode="json", exclude={"proof"})
        return [by, int(is_verified), json.dumps(content, sort_keys=True)]
