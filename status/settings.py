"""What the status API reads from the environment."""

from ipaddress import ip_network
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationInfo, field_validator

from masterflow.domain.settings import SettingRefused, Settings

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

_LEAST_SECRET_BYTES: Final = 32


_TRACE_URL: Final = r"^https?://[^\s{}]+\{trace_id\}[^\s{}]*$"


def _networks(text: str) -> str:
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            ip_network(part, strict=False)
        except ValueError as error:
            raise SettingRefused(f"{part[:60]!r} is no address") from error
    return text


class StatusSettings(Settings):
    """Who may look, and how much; its repr shows no secret."""

    jwt_algorithm: Algorithm = Field(
        "HS256",
        validation_alias="ENRICHMENT_JWT_ALGORITHM",
        description="HS256, RS256, ES256 or EdDSA",
    )
    #: HS256 takes a secret, the other algorithms a public key in PEM.
    jwt_key: SecretStr = Field(
        validation_alias="ENRICHMENT_JWT_KEY",
        description="a secret of at least 32 bytes, or a public key in PEM",
    )
    jwt_issuer: Name = Field(
        "enrichment", validation_alias="ENRICHMENT_JWT_ISSUER", description="the `iss` claim of your tokens"
    )
    jwt_audience: Name = Field(
        "enrichment-status",
        validation_alias="ENRICHMENT_JWT_AUDIENCE",
        description="the `aud` claim of your tokens",
    )
    #: What Prometheus and readiness probes send; without it nobody reads the metrics.
    probe_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None,
        validation_alias="ENRICHMENT_STATUS_PROBE_TOKEN",
        description="16 characters or more, for Prometheus and readiness probes",
    )
    #: A code and the token it stands for: once, within ten minutes of the start, at /signin?code=...
    signin_code: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None,
        validation_alias="ENRICHMENT_STATUS_SIGNIN_CODE",
        description="16 random characters or more",
    )
    #: For a demo on one's own machine; anybody who has seen the link can sign in.
    signin_reusable: bool = Field(
        default=False,
        validation_alias="ENRICHMENT_STATUS_SIGNIN_REUSABLE",
        description="true lets the sign-in code work until the process ends, else false",
    )
    signin_token: SecretStr | None = Field(
        None,
        validation_alias="ENRICHMENT_STATUS_SIGNIN_TOKEN",
        description="the token that the sign-in code stands for",
    )
    rate_per_s: float = Field(
        50,
        gt=0,
        validation_alias="ENRICHMENT_STATUS_RATE_PER_S",
        description="requests per second and user, above 0",
    )
    wrong_tokens_per_s: float = Field(
        5,
        gt=0,
        validation_alias="ENRICHMENT_STATUS_WRONG_TOKENS_PER_S",
        description="wrong tokens per second and address that are looked at, above 0",
    )
    most_streams: int = Field(
        2_000,
        ge=1,
        validation_alias="ENRICHMENT_STATUS_MOST_STREAMS",
        description="how many event streams may be open at once, at least 1",
    )
    most_streams_per_account: int = Field(
        1_000,
        ge=1,
        validation_alias="ENRICHMENT_STATUS_MOST_STREAMS_PER_ACCOUNT",
        description="how many of them one client account may hold, at least 1",
    )
    #: Who takes nothing of what they are sent for so long is cut, by `python -m masterflow.status` also in
    #: the kernel.
    send_timeout_s: float = Field(
        20,
        gt=0,
        validation_alias="ENRICHMENT_STATUS_SEND_TIMEOUT_S",
        description="seconds above 0",
    )
    #: How long a request may be in coming, with `python -m masterflow.status`.
    request_timeout_s: float = Field(
        10,
        gt=0,
        validation_alias="ENRICHMENT_STATUS_REQUEST_TIMEOUT_S",
        description="seconds above 0",
    )
    #: Whose X-Forwarded-For and X-Forwarded-Proto count; by default nobody's.
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = Field(
        "",
        validation_alias="ENRICHMENT_STATUS_TRUSTED_PROXIES",
        description="addresses or networks of your proxies, with commas between them, such as 10.0.0.0/8",
    )
    #: Where a trace is looked at.
    trace_url: Annotated[str, StringConstraints(pattern=_TRACE_URL)] | None = Field(
        None,
        validation_alias="ENRICHMENT_TRACE_URL",
        description="the address of a trace in your tracing, with {trace_id} in it",
    )
    pool_size: int = Field(
        8,
        ge=1,
        validation_alias="ENRICHMENT_STATUS_POOL_SIZE",
        description="connections to Postgres, at least 1",
    )

    @field_validator("jwt_key")
    @classmethod
    def _key_fits_algorithm(cls, key: SecretStr, info: ValidationInfo) -> SecretStr:
        text = key.get_secret_value().lstrip()
        is_public = text.startswith("-----BEGIN PUBLIC KEY")
        is_secret = len(text.encode()) >= _LEAST_SECRET_BYTES and not text.startswith("-----BEGIN")
        if not (is_secret if info.data.get("jwt_algorithm") == "HS256" else is_public):
            raise ValueError("another key")
        return key
