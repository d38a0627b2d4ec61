"""Events as an outbox holds them, with no more than it looks at."""

import json
from typing import Any

ACCOUNT = "00000000-0000-0000-0000-000000000001"


def event_line(content: Any, *, account: str = ACCOUNT) -> bytes:
    """Return the JSON of an event, whose `n` is the content."""
    return json.dumps({"client_account_id": account, "n": content}, separators=(",", ":")).encode()


def content_of(event: bytes) -> Any:
    return json.loads(event)["n"]
