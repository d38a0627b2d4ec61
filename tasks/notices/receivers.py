"""Who is told of what: the receivers of ENRICHMENT_NOTICES, which the operators alone can set."""

import base64
import binascii
import json
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote, urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import NoDecode

from masterflow.domain.settings import SettingRefused, Settings
from masterflow.tasks.settings import FlowType

#: What a receiver may ask for.
NoticeEvent = Literal["failed", "lost", "overdue", "waiting", "over_budget", "completed", "cancelled"]

#: How keys of the Standard Webhooks begin; what follows is base64.
KEY_PREFIX: Final = "whsec_"

_MOST_RECEIVERS: Final = 20
_LEAST_KEY_BYTES: Final = 16
_PORTS: Final = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}


class Address:
    """An address of a receiver; only `place` may be shown, since all else of it may be secret."""

    def __init__(self, text: str, *schemes: str) -> None:
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise SettingRefused("an address is none") from error
        if parts.scheme not in schemes or not parts.hostname or not text.isascii():
            raise SettingRefused(f"an address must begin with {' or '.join(f'{it}://' for it in schemes)}")
        if any(ord(sign) <= ord(" ") for sign in text.strip()):
            raise SettingRefused("an address holds a space")
        self.scheme, self.host = parts.scheme, parts.hostname
        self.port = port or _PORTS[parts.scheme]
        self.user, self.password = unquote(parts.username or ""), unquote(parts.password or "")
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def is_encrypted(self) -> bool:
        """Return whether the connection begins with TLS."""
        return self.scheme in {"https", "smtps"}

    @property
    def place(self) -> str:
        """Return what people may see of it."""
        return f"{self.scheme}://{self.host}:{self.port}"


def key_of(secret: SecretStr) -> bytes:
    """Return the bytes that a webhook is signed with."""
    text = secret.get_secret_value()
    return base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)


def _secret(secret: SecretStr) -> SecretStr:
    is_ours = secret.get_secret_value().startswith(KEY_PREFIX)
    try:
        if is_ours and len(key_of(secret)) >= _LEAST_KEY_BYTES:
            return secret
    except (binascii.Error, ValueError):
        pass
    raise SettingRefused("a secret is no whsec_…; `flowctl notices secret` makes one")


def _web(secret: SecretStr) -> SecretStr:
    if Address(secret.get_secret_value(), "https", "http").user:
        raise SettingRefused("the address of a webhook names a user")
    return secret


def _mail(secret: SecretStr) -> SecretStr:
    Address(secret.get_secret_value(), "smtps", "smtp")
    return secret


def _mailbox(text: str) -> str:
    if "@" not in text.strip("@") or not text.isprintable() or not text.isascii() or " " in text:
        raise SettingRefused(f"{text!r:.80} is no mailbox")
    return text


_WebAddress = Annotated[SecretStr, AfterValidator(_web)]
_Mailbox = Annotated[str, AfterValidator(_mailbox)]


class _Receiver(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: What it is called in Redis, logs and flowctl.
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    events: Annotated[tuple[NoticeEvent, ...], Field(min_length=1)]
    #: Only of these; of all where it is left out.
    client_account_ids: frozenset[UUID] = frozenset()
    engagement_ids: frozenset[UUID] = frozenset()
    flow_types: frozenset[FlowType] = frozenset()
    #: Where the page is that shows flows: a notice then links to its flow.
    page: Annotated[str, Field(pattern=r"^https?://[!-~]+$")] | None = None

    def wants(self, event: str, row: Any) -> bool:
        """Return whether it is to be told of this about the flow of a row of read_notices.sql."""
        return (
            event in self.events
            and (not self.client_account_ids or row["client_account_id"] in self.client_account_ids)
            and (not self.engagement_ids or row["engagement_id"] in self.engagement_ids)
            and (not self.flow_types or row["flow_type"] in self.flow_types)
        )


class WebhookReceiver(_Receiver):
    """Takes JSON, signed as the Standard Webhooks say with each of its secrets."""

    kind: Literal["webhook"]
    url: _WebAddress
    secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_secret)], ...], Field(min_length=1, max_length=5)
    ]

    @property
    def address(self) -> Address:
        """Return where it is."""
        return Address(self.url.get_secret_value(), "https", "http")


class SlackReceiver(_Receiver):
    """Takes a sentence, as Slack's incoming webhooks do; the address is the secret."""

    kind: Literal["slack"]
    url: _WebAddress

    @property
    def address(self) -> Address:
        """Return where it is."""
        return Address(self.url.get_secret_value(), "https", "http")


class MailReceiver(_Receiver):
    """Takes an e-mail: by smtps:// through TLS, by smtp:// through STARTTLS unless `plain` allows neither."""

    kind: Literal["email"]
    url: Annotated[SecretStr, AfterValidator(_mail)]
    sender: _Mailbox = Field(alias="from")
    to: Annotated[tuple[_Mailbox, ...], Field(min_length=1, max_length=50)]
    plain: bool = False

    @property
    def address(self) -> Address:
        """Return where its server is."""
        return Address(self.url.get_secret_value(), "smtps", "smtp")


Receiver = Annotated[WebhookReceiver | SlackReceiver | MailReceiver, Field(discriminator="kind")]


_ALL: Final = TypeAdapter(tuple[Receiver, ...])


def _receivers(value: object) -> tuple[Receiver, ...]:
    """Return the receivers of a text of JSON.

    Raises:
        SettingRefused: they are none; it says what is wrong first, and quotes nothing of it.
    """
    try:
        found = _ALL.validate_python(json.loads(value) if isinstance(value, str) else value)
    except ValidationError as error:
        flaw = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in flaw["loc"])
        said = flaw["msg"].removeprefix("Value error, ")
        raise SettingRefused(f"{place}: {said}" if place else said) from None
    except (ValueError, RecursionError):
        raise SettingRefused("it is no JSON") from None
    if len({one.name for one in found}) < len(found):
        raise SettingRefused("two receivers have the same name")
    if len(found) > _MOST_RECEIVERS:
        raise SettingRefused(f"there are more than {_MOST_RECEIVERS} receivers")
    return found


class NoticeSettings(Settings):
    """Who is told of what; its repr shows no address and no secret."""

    receivers: Annotated[tuple[Receiver, ...], NoDecode, BeforeValidator(_receivers)] = Field(
        default=(),
        repr=False,
        validation_alias="ENRICHMENT_NOTICES",
        description='JSON [{"name", "kind": "webhook", "slack" or "email", "url", "events", ...}], as'
        " docs/notices.md says",
    )
