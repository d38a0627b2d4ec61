"""The message that carries what somebody asked of a flow from API or `flowctl` to a worker, and its proof.

An orchestrator cannot make it where the operators have keys (ENRICHMENT_WORKER_KEYS): then nobody but who
holds one of those can say that `ann` asked for something.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from masterflow.domain.errors import InputInvalid, SignatureInvalid
from masterflow.domain.events import AnyEvent, ControlRequested, ErrorOccurred, StatusChanged, describe
from masterflow.domain.ids import IdText
from masterflow.domain.signing.settings import SigningSettings
from masterflow.domain.signing.signatures import Keys, Signature, sign, verify
from masterflow.domain.signing.signer import Signer

#: Who is allowed to ask, as the sentence for a request that came another way.
_FORGED: Final = (
    "What people ask of flows comes from the API or `flowctl`, signed with ENRICHMENT_WORKER_KEYS."
)

#: What an orchestrator's own budget asks for, it reports like everything else.
OWN_WORDS: Final = frozenset({"budget"})

#: A request that its flow's process cannot carry out is carried out with it.
_CARRIES: Final = (ControlRequested, StatusChanged, ErrorOccurred)
_ENDS: Final = frozenset({"cancelled", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMessage:
    """One request, with the events that it consists of."""

    request_id: str
    client_account_id: str
    #: The text of a JSON array of events.
    events: str
    #: Microseconds since 1970.
    signed_at: int
    key_id: str | None = None
    signature: str | None = None

    def kwargs(self) -> dict[str, str | int | None]:
        """Return the keyword arguments of the task."""
        return {name: getattr(self, name) for name in self.__slots__}

    def signed(self, settings: SigningSettings) -> Self:
        """Return it with a proof, if there is a key to make one with."""
        proof = sign("request", self._fields, _keys(settings, self.client_account_id))
        return replace(self, key_id=proof.key_id, signature=proof.value) if proof else self

    def verified(self, settings: SigningSettings, *, now: datetime) -> Signer:
        """Return who vouches for a request; without any keys configured, whatever anybody asks is accepted.

        Raises:
            SignatureInvalid: it is unsigned, signed with another key, too old, or was changed.
        """
        if not settings.worker_keys and not settings.signing_keys:
            return Signer()
        proof = Signature(self.key_id, self.signature) if self.key_id and self.signature else None
        try:
            verify("request", self._fields, _keys(settings, self.client_account_id), proof)
        except SignatureInvalid as error:
            raise SignatureInvalid(f"{_FORGED} {error}") from error
        settings.check_age(self.signed_at, now=now)
        return Signer(_keys(settings, self.client_account_id), self.key_id)

    @property
    def _fields(self) -> tuple[str | int, ...]:
        return self.client_account_id, self.request_id, self.events, self.signed_at


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)

    request_id: IdText
    client_account_id: IdText
    events: Annotated[str, StringConstraints(max_length=50_000)]
    signed_at: int
    key_id: str | None = None
    signature: str | None = None


def read_request(fields: Mapping[str, object]) -> RequestMessage:
    """Return the message that a task's keyword arguments are.

    Raises:
        InputInvalid: they are none.
    """
    try:
        _Fields.model_validate(fields)
        return RequestMessage(**fields)  # type: ignore[arg-type]  # just validated
    except ValidationError as error:
        raise InputInvalid(describe(error)) from error


def check_carried(event: AnyEvent, request_id: str) -> None:
    """Accept an event that a request may carry: itself, and the end of its flow.

    Raises:
        InputInvalid: it is something else, which orchestrators report.
    """
    is_end = not isinstance(event, StatusChanged) or event.status in _ENDS
    is_itself = not isinstance(event, ControlRequested) or str(event.event_id) == str(UUID(request_id))
    if not isinstance(event, _CARRIES) or not is_end or not is_itself:
        raise InputInvalid(f"A request carries no {event.kind} such as this.")


def objection_to(event: AnyEvent, worker_keys: Keys) -> SignatureInvalid | None:
    """Return why an event that an orchestrator reports is refused: it speaks in the name of people.

    Where the operators have no keys, nobody can tell who made a request, and it is taken.
    """
    is_of_people = isinstance(event, ControlRequested) and event.by not in OWN_WORDS
    return SignatureInvalid(_FORGED) if is_of_people and worker_keys else None


def _keys(settings: SigningSettings, client_account_id: str) -> Keys:
    return settings.worker_keys or settings.keys_of(client_account_id)
