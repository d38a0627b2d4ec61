"""What every message has to be before Celery may look at it: small enough, and a call of a task."""

import zlib
from typing import Any, Final, NoReturn

from kombu import Message, compression
from kombu.exceptions import ContentDisallowed, DecodeError

from masterflow.domain.errors import InputInvalid
from masterflow.tasks.inbox.admission import MessageTooLarge, MessageUnreadable

# The text of a batch may have 2,000,000 characters, and JSON writes most of them as one or two bytes.
_MAX_BODY_BYTES: Final = 4_000_000
_MAX_HEADERS_CHARS: Final = 20_000
_EXCERPT_BYTES: Final = 4_000

_ZLIB: Final = "application/x-gzip"


def limit_unpacking() -> None:
    """Let kombu, which unpacks a message before anyone can look at its size, stop at the size of a bomb."""
    for content_type in compression.encoders():
        encoder: Any = compression.get_encoder(content_type)
        decoder = _unpack if content_type == _ZLIB else _refuse_to_unpack
        compression.register(encoder[0], decoder, content_type)


def check_envelope(message: Message) -> None:
    """Accept a message that Celery can make a request of.

    Raises:
        InputInvalid: it has not the shape of one.
        MessageTooLarge: nothing of ours is that large.
        MessageUnreadable: it is no JSON.
    """
    size = len(message.body or b"")
    if size > _MAX_BODY_BYTES:
        raise MessageTooLarge(f"The message has {size} bytes; at most {_MAX_BODY_BYTES} are read.")
    headers = message.headers
    if len(str(headers)) > _MAX_HEADERS_CHARS:
        raise MessageTooLarge(f"The headers are longer than {_MAX_HEADERS_CHARS} characters.")
    if not (isinstance(headers.get("task"), str) and isinstance(headers.get("id"), str)):
        raise InputInvalid("The message names no task or has no id; send it with Celery, protocol 2.")
    try:
        payload = message.payload
    except (ContentDisallowed, DecodeError) as error:
        raise MessageUnreadable(f"The message is no JSON: {error!s:.200}.") from error
    match payload:
        case [list(), dict(), dict() | None]:
            return
    raise InputInvalid("The message holds no [args, kwargs, embed]; send it with Celery, protocol 2.")


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
