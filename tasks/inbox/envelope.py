"""What every message has to be before Celery may look at it: small enough, and a plain call of a task."""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from kombu import Message, compression
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.utils.json import register_type

from masterflow.domain.clock import parse_time
from masterflow.domain.errors import InputInvalid
from masterflow.tasks.inbox.admission import MessageTooLarge, MessageUnreadable

# The text of a batch may have 2,000,000 characters, and JSON writes most of them as one or two bytes.
_MAX_BODY_BYTES: Final = 4_000_000
_MAX_HEADERS_CHARS: Final = 20_000
_EXCERPT_BYTES: Final = 4_000

#: Tells how large a message was of which only the beginning was kept.
SIZE_HEADER: Final = "enrichment_bytes"

#: Under what a child finds the messages that it takes along with another one.
COMPANIONS: Final = "companions"

_ZLIB: Final = "application/x-gzip"

# kombu would decode anything that calls itself data or text with whichever of Python's codecs the message
# names: `zip` unpacks 4 MB to 4 GB, and `punycode` takes hours over 3 MB.
_JSON: Final = "application/json"
_ENCODINGS: Final = ("utf-8", "binary")

# What else Celery would do with a message, or instead of calling its task. None of it is covered by a
# signature, and some of it ends a message without a word, or keeps a worker from all others.
_HEADERS: Final = ("eta", "expires", "retries", "shadow", COMPANIONS)
_EMBEDDED: Final = ("callbacks", "errbacks", "chain", "chord", COMPANIONS)
_UNSET: Final[tuple[Any, ...]] = (None, 0, "", {}, [])

# How Python calls the first argument of what Celery makes of a task: its call would fail, and the message go.
_TAKEN: Final = frozenset({"self", "task"})

# Far more than is kept of any value, and far less than pickling can take.
_MAX_DEPTH: Final = 100

# Beyond that a decimal number in words of JSON costs more to convert than a worker has time for.
_MAX_DECIMAL_CHARS: Final = 400
_MAX_EXPONENT: Final = 400


class OptionRefused(InputInvalid):
    """A message asks Celery for what no sender of ours uses."""

    reason = "option_refused"


def limit_unpacking() -> None:
    """Let kombu, which unpacks a message before anyone can look at its size, stop at the size of a bomb."""
    for content_type in compression.encoders():
        encoder: Any = compression.get_encoder(content_type)
        decoder = _unpack if content_type == _ZLIB else _refuse_to_unpack
        compression.register(encoder[0], decoder, content_type)
    register_type(Decimal, "decimal", str, _decimal)


def _decimal(text: str) -> Decimal:
    """Return what kombu's JSON holds as a decimal number.

    Raises:
        ValueError: it is none, or immense.
    """
    if len(text) > _MAX_DECIMAL_CHARS:
        raise ValueError("A number has too many digits.")
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("A number is none.") from error
    if number and abs(number.adjusted()) > _MAX_EXPONENT:
        raise ValueError("A number is immense.")
    return number


def _is_name(found: object) -> bool:
    """Return whether it is a text that can stand in a key and a letter."""
    try:
        return isinstance(found, str) and bool(found.encode())
    except UnicodeEncodeError:
        return False


def check_envelope(message: Message, *, may_expire: bool = False) -> None:
    """Accept a message that Celery can make a request of; a periodic one may expire.

    Raises:
        InputInvalid: it has not the shape of one, or asks for more than a call.
        MessageTooLarge: nothing of ours is that large.
        MessageUnreadable: it is no JSON.
    """
    told = (message.headers or {}).get(SIZE_HEADER)
    size = max(len(message.body or b""), told if isinstance(told, int) else 0)
    if size > _MAX_BODY_BYTES:
        raise MessageTooLarge(f"The message has {size} bytes; at most {_MAX_BODY_BYTES} are read.")
    headers = message.headers
    if len(str(headers)) > _MAX_HEADERS_CHARS:
        raise MessageTooLarge(f"The headers are longer than {_MAX_HEADERS_CHARS} characters.")
    if not (_is_name(headers.get("task")) and _is_name(headers.get("id"))):
        raise InputInvalid("The message names no task or has no id; send it with Celery, protocol 2.")
    if message.content_type != _JSON or message.content_encoding not in _ENCODINGS:
        raise MessageUnreadable(
            f"The message is no JSON in UTF-8, but {message.content_type!r:.100} in"
            f" {message.content_encoding!r:.100}."
        )
    try:
        payload = message.payload
    except (ContentDisallowed, DecodeError) as error:
        raise MessageUnreadable(f"The message is no JSON: {error!s:.200}.") from error
    match payload:
        case [list(), dict() as kwargs, dict() | None as embedded]:
            _check_depth([payload, headers, message.properties])
            _check_options(headers, embedded or {}, may_expire=may_expire)
            if taken := sorted(_TAKEN & kwargs.keys()):
                raise InputInvalid(f"No task takes an argument called {taken[0]}.")
            return
    raise InputInvalid("The message holds no [args, kwargs, embed]; send it with Celery, protocol 2.")


def _check_depth(found: Any) -> None:
    """Accept what a pool can hand to a child.

    Raises:
        InputInvalid: it could not be pickled, and would hold the place of a message for ever.
    """
    level: list[Any] = [found]
    for _ in range(_MAX_DEPTH):
        inner = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [one for each in inner for one in each if isinstance(one, (dict, list, tuple))]
        if not level:
            return
    raise InputInvalid(f"The message is nested more than {_MAX_DEPTH} deep.")


def _check_options(headers: Mapping[str, Any], embedded: Mapping[str, Any], *, may_expire: bool) -> None:
    # A child knows no difference between what is embedded and what stands in the headers.
    asked = [
        name
        for name in (*_HEADERS, *_EMBEDDED)
        if headers.get(name) not in _UNSET or (name in _EMBEDDED and embedded.get(name) not in _UNSET)
    ]
    if may_expire and "expires" in asked:
        asked.remove("expires")
    # Anything else would take the place of what the headers say, such as the id.
    asked += sorted(embedded.keys() - {*_EMBEDDED})
    if asked:
        raise OptionRefused(
            f"The message asks Celery for {', '.join(asked):.200}, which no task here knows; send it without"
            " countdown, eta, expires, retries, shadow, link, chain and chord."
        )


def has_expired(headers: Mapping[str, Any]) -> bool:
    """Return whether a message is past its time, so that Celery acknowledges it unseen."""
    expires = parse_time(headers.get("expires"))
    return expires is not None and expires < datetime.now(UTC)


def excerpt(message: Message) -> str:
    """Return the beginning of a message, for people."""
    body = message.body or b""
    start = body[:_EXCERPT_BYTES]
    text = start if isinstance(start, str) else bytes(start).decode("utf-8", "replace")
    return f"{(message.headers or {}).get('task')!s:.100} {text}"


def _unpack(packed: bytes) -> bytes:
    """Return what zlib packed.

    Raises:
        MessageTooLarge: there is more of it than any message of ours holds.
    """
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(packed, _MAX_BODY_BYTES + 1)
    if len(body) > _MAX_BODY_BYTES:
        raise MessageTooLarge(f"The message unpacks to more than {_MAX_BODY_BYTES} bytes.")
    return body


def _refuse_to_unpack(_: bytes) -> NoReturn:
    raise MessageUnreadable("The message is packed with something else than zlib.")
