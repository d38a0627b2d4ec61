"""Whose keys there are, and for how long what they signed is taken."""

import json
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from masterflow.domain.clock import to_microseconds
from masterflow.domain.errors import SignatureInvalid
from masterflow.domain.settings import Settings
from masterflow.domain.signing.signatures import Keys

_Secret = Annotated[SecretStr, Field(min_length=16)]

#: Per client account, its keys by id: the first one signs, all of them verify.
SigningKeys = dict[UUID, dict[str, _Secret]]

#: A signer's clock may be ahead by so much: what it dates ahead is only taken for longer.
_MAX_AHEAD: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


class WorkerKeySettings(Settings):
    """What workers, API and flowctl prove to each other, and orchestrators have no part in."""

    worker_keys: Annotated[dict[str, _Secret], NoDecode, BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        repr=False,
        validation_alias="ENRICHMENT_WORKER_KEYS",
        description='JSON {"<key id>": "<16 characters or more>"}, newest key first',
    )
    #: As long as an outbox may send late.
    signature_days: int = Field(
        31,
        ge=1,
        le=3_650,
        validation_alias="ENRICHMENT_SIGNATURE_DAYS",
        description="whole days, 1 to 3650",
    )

    def check_age(self, signed_at: int, *, now: datetime) -> None:
        """Accept the time of a signature, in microseconds since 1970.

        Raises:
            SignatureInvalid: it is too long ago, or too far ahead.
        """
        ahead = signed_at - to_microseconds(now)
        if ahead < -timedelta(days=self.signature_days) // _MICROSECOND:
            raise SignatureInvalid(
                f"It was signed more than {self.signature_days} days ago (ENRICHMENT_SIGNATURE_DAYS)."
            )
        if ahead > _MAX_AHEAD // _MICROSECOND:
            raise SignatureInvalid("It was signed more than a day ahead of the clock here.")


class SigningSettings(WorkerKeySettings):
    """All keys, of which an orchestrator holds those of its client accounts."""

    signing_keys: Annotated[SigningKeys, NoDecode, BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        repr=False,
        validation_alias="ENRICHMENT_SIGNING_KEYS",
        description='JSON {"<client account id>": {"<key id>": "<16 characters or more>"}}, newest key first',
    )

    def keys_of(self, client_account_id: object) -> Keys:
        """Return the keys of a client account, by its id or the text of it; none of what is no id."""
        return keys_of(self.signing_keys, client_account_id)


def keys_of(signing_keys: SigningKeys, client_account_id: object) -> Keys:
    """Return the keys of a client account, by its id or the text of it; none of what is no id."""
    try:
        return signing_keys.get(UUID(str(client_account_id)), {})
    except ValueError:
        return {}
