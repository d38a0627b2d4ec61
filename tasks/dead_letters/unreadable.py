"""What lies among the dead letters and is none, told as a letter, so that it can be seen and dropped."""

import json
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from masterflow.domain.payload.safe import safe_text

#: What a letter may take; it holds one event, whose size is bounded.
MAX_LETTER_BYTES: Final = 4_000_000

_EXCERPT_BYTES: Final = 8_000
_EXCERPT_CHARS: Final = 2_000
_ERROR_CHARS: Final = 500

#: When it came there is not known.
_UNKNOWN_TIME: Final = datetime.fromtimestamp(0, UTC)


def unreadable_letter(content: bytes | str, trouble: object) -> dict[str, Any]:
    """Return the fields of a dead letter about something that is none; the same thing has the same id."""
    data = content.encode(errors="surrogatepass") if isinstance(content, str) else bytes(content)
    begin = data[:_EXCERPT_BYTES].decode("utf-8", "replace")
    return {
        "letter_id": str(UUID(bytes=blake2b(data, digest_size=16).digest())),
        "reason": "unreadable",
        "error": safe_text(f"This is no dead letter: {trouble}", max_chars=_ERROR_CHARS),
        "event": {"excerpt": safe_text(begin, max_chars=_EXCERPT_CHARS)},
        "first_seen": _UNKNOWN_TIME.isoformat(),
        "last_seen": _UNKNOWN_TIME.isoformat(),
        "attempts": 0,
        "batch_id": "",
        "sender_id": "",
        "client_account_id": "",
    }


def unreadable_text(content: bytes | str, trouble: object) -> str:
    """Return the same as the JSON of a letter."""
    return json.dumps(unreadable_letter(content, trouble))
