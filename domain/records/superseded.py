"""What of a batch need not travel: snapshots that have a newer one of the same flow beside them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

_KIND: Final = b'"kind":"progress_reported"'

# As every process writes it; what begins otherwise travels. No text in between holds a quote of its own.
_SNAPSHOT: Final = re.compile(
    rb'\{"event_id":"([0-9a-f-]{36})",'
    rb'("flow_id":"[^"]+","client_account_id":"[^"]+","engagement_id":"[^"]+","user_id":"(?:[^"\\]|\\.)*"),'
    rb'"occurred_at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)",("schema_version":\d+),'
    rb'"kind":"progress_reported",'
)


def without_superseded(events: Sequence[bytes]) -> list[bytes]:
    """Return the JSON of these events without the snapshots that the row would not show.

    A worker takes the newest of a batch, so the row is the same to the byte. Only what was sent for the
    same tenant and user, in the same version and not ahead of this clock stands in for another: nothing
    that a worker might set aside, while it would take the other.
    """
    found = [
        (at, match) for at, event in enumerate(events) if _KIND in event and (match := _SNAPSHOT.match(event))
    ]
    if len(found) < 2:
        return [*events]
    now = f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z".encode()
    newest: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
    for _, snapshot in found:
        event_id, whose, time, version = snapshot.groups()
        if time <= now:
            newest[whose, version] = max(newest.get((whose, version), (b"", b"")), (time, event_id))
    left_out = {
        at
        for at, snapshot in found
        if (snapshot[3], snapshot[1]) < newest.get((snapshot[2], snapshot[4]), (b"", b""))
    }
    return [event for at, event in enumerate(events) if at not in left_out]
