"""Who is looking: the bearer token, checked, as a client account, its engagements and a user."""

import time
from collections.abc import Iterable
from typing import Annotated, Any, Final
from uuid import UUID

import jwt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from masterflow.domain import PermanentError, SettingsInvalid
from masterflow.domain.tenant import UserId
from masterflow.repository.status.reads import FlowScope
from masterflow.status.settings import StatusSettings

_MOST_TOKEN_CHARS: Final = 8_192
_REQUIRED: Final = ("exp", "iss", "aud", "sub", "client_account_id", "engagement_ids")

#: The word in the `scope` claim that lets somebody tell flows what to do; who looks needs none.
CONTROL: Final = "control"

#: The `engagement_ids` claim of who sees all engagements of the client account, also those to come.
ALL_ENGAGEMENTS: Final = "all"

_Engagements = Annotated[frozenset[UUID], Field(min_length=1, max_length=1_000)]


def _words(claim: object) -> object:
    """Return the words of a `scope` claim: OAuth has them in one text, some issuers in a list."""
    return claim.split() if isinstance(claim, str) else claim


def _engagements(claim: object) -> object:
    """Return the engagements of a claim; None for the whole account, which that word alone asks for."""
    if claim is None:
        return ()
    return None if claim == ALL_ENGAGEMENTS else claim


class TokenInvalid(PermanentError):
    """There is no token, or one that does not hold."""

    reason = "unauthorized"


class Viewer(BaseModel):
    """Whoever a token was issued to; everything they see is scoped by it."""

    model_config = ConfigDict(frozen=True)

    client_account_id: UUID
    #: None is all engagements of the account, and stands in the claim as `"all"`.
    engagement_ids: Annotated[_Engagements | None, BeforeValidator(_engagements)]
    user_id: Annotated[UserId, Field(validation_alias="sub")]
    #: What they may do besides looking.
    rights: Annotated[frozenset[str], BeforeValidator(_words)] = Field(
        default_factory=frozenset, validation_alias="scope"
    )
    #: Seconds since 1970.
    expires_at: Annotated[int, Field(validation_alias="exp")]

    @property
    def scope(self) -> FlowScope:
        """Return whose flows they may see."""
        return FlowScope(self.client_account_id, self.engagement_ids)

    @property
    def may_control(self) -> bool:
        """Return whether they may tell flows what to do, and answer what flows ask."""
        return CONTROL in self.rights

    @property
    def expires_in_s(self) -> float:
        """Return for how long their token still holds."""
        return self.expires_at - time.time()


def read_token(token: str, settings: StatusSettings) -> Viewer:
    """Return whom a token names.

    Raises:
        TokenInvalid: its signature, algorithm, issuer, audience, time or claims are not as they must be.
    """
    if len(token) > _MOST_TOKEN_CHARS:
        raise TokenInvalid("The token is too long.")
    try:
        claims = jwt.decode(
            token,
            settings.jwt_key.get_secret_value(),
            algorithms=[settings.jwt_algorithm],
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            options={"require": list(_REQUIRED)},
        )
        return Viewer.model_validate(claims)
    except jwt.ExpiredSignatureError as error:
        raise TokenInvalid("The token has expired; sign in again.") from error
    except (jwt.PyJWTError, ValidationError, RecursionError) as error:
        raise TokenInvalid("The token is not valid here; get a new one from whoever issues them.") from error


def issue_token(
    settings: StatusSettings,
    client_account_id: UUID,
    *,
    engagement_ids: Iterable[UUID] | None,
    user_id: str,
    lifetime_s: float = 3600,
    may_control: bool = False,
) -> str:
    """Return a token for the API, signed with the HS256 key of the settings; not for production.

    With None for the engagements it holds for all of the account.

    Raises:
        SettingsInvalid: the settings hold a public key, with which nobody can sign.
    """
    if settings.jwt_algorithm != "HS256":
        raise SettingsInvalid(
            f"ENRICHMENT_JWT_ALGORITHM is {settings.jwt_algorithm}, so ENRICHMENT_JWT_KEY is a public key,"
            " which signs nothing; ask whoever holds the private key for a token, or use HS256."
        )
    now = time.time()
    claims: dict[str, Any] = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": int(now),
        "exp": int(now + lifetime_s),
        "sub": user_id,
        "client_account_id": str(client_account_id),
        "engagement_ids": ALL_ENGAGEMENTS if engagement_ids is None else [*map(str, engagement_ids)],
    }
    if may_control:
        claims["scope"] = CONTROL
    return jwt.encode(claims, settings.jwt_key.get_secret_value(), algorithm=settings.jwt_algorithm)
