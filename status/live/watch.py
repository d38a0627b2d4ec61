"""Which rows a poller looks at, and which of their changes it has told already."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from masterflow.domain.statuses import ACTIVE_STATUSES
from masterflow.status.live.listeners import Change

#: No merge takes longer from its statement, which writes `updated_at`, to its commit.
LOOK_BACK: Final = timedelta(seconds=30)

#: An account stays watched for so long after its last listener left, so that one who returns missed nothing.
_LINGER_S: Final = 120.0

#: A flow that ended is looked at for so long: reports may still come in.
_ENDED_WATCH_S: Final = 600.0

_MOST_REMEMBERED: Final = 5_000


class Watch:
    """The memory of one poller, about the accounts that somebody listens to."""

    def __init__(self) -> None:
        #: By account: the number of the last change before it was watched.
        self.accounts: dict[UUID, int] = {}
        self.number = 0
        #: The newest time of the database that is known.
        self.newest = datetime(1970, 1, 1, tzinfo=UTC)
        self._deserted_at: dict[UUID, float] = {}
        #: By flow: its account, and until when to look at it; an open one has no end.
        self._flows: dict[UUID, tuple[UUID, float]] = {}
        self._told: dict[UUID, datetime] = {}
        self._recent: dict[UUID, Change] = {}
        self._forgotten = 0

    @property
    def since(self) -> datetime:
        """Return from when on changes may not have been seen yet."""
        return self.newest - LOOK_BACK

    @property
    def flow_ids(self) -> list[UUID]:
        """Return the flows to look at whatever their status is."""
        return list(self._flows)

    def begin(
        self, account: UUID, *, now: datetime, open_flows: Iterable[UUID], known: dict[UUID, datetime]
    ) -> None:
        """Watch an account from now on; what is known of it needs not be told."""
        self.newest = max(self.newest, now)
        self._flows |= dict.fromkeys(open_flows, (account, float("inf")))
        self._told |= known
        self.accounts.setdefault(account, self.number)

    def untold(self, found: dict[UUID, datetime]) -> list[UUID]:
        """Return the flows whose change was not told yet."""
        return [flow_id for flow_id, at in found.items() if self._told.get(flow_id) != at]

    def note(self, change: Change, updated_at: datetime | None, *, now: datetime) -> None:
        """Remember a change that is being told; `now` is the database's time."""
        flow_id = change.summary.flow_id
        is_open = change.summary.status in ACTIVE_STATUSES
        until = float("inf") if is_open else time.monotonic() + _ENDED_WATCH_S
        self._flows[flow_id] = (change.client_account_id, until)
        self._told[flow_id] = updated_at or now
        # A row may claim any time, and one to come would hide all changes until then.
        self.newest = max(self.newest, min(updated_at or now, now))
        self._recent.pop(flow_id, None)
        self._recent[flow_id] = change
        while len(self._recent) > _MOST_REMEMBERED:
            self._forgotten = self._recent.pop(next(iter(self._recent))).number

    def recent(self, flow_id: UUID) -> Change | None:
        """Return the newest change of a flow, if it is remembered."""
        return self._recent.get(flow_id)

    def told_after(self, number: int, account: UUID) -> list[Change] | None:
        """Return an account's changes after this number, or None if some of them are not known any more."""
        begun = self.accounts.get(account)
        if begun is None or not max(begun, self._forgotten) <= number <= self.number:
            return None
        return [change for change in self._recent.values() if change.number > number]

    def tidy(self, listened_to: set[UUID]) -> None:
        """Forget the accounts that nobody listens to any more, and what is too old to matter."""
        now = time.monotonic()
        for account in self.accounts.keys() | self._deserted_at.keys():
            if account in listened_to:
                self._deserted_at.pop(account, None)
            elif now - self._deserted_at.setdefault(account, now) > _LINGER_S:
                self._forget(account)
        self._flows = {
            flow: (account, until) for flow, (account, until) in self._flows.items() if until > now
        }
        oldest = self.since - LOOK_BACK
        self._told = {flow: at for flow, at in self._told.items() if at > oldest}

    def _forget(self, account: UUID) -> None:
        del self._deserted_at[account]
        self.accounts.pop(account, None)
        self._flows = {flow: kept for flow, kept in self._flows.items() if kept[0] != account}
        self._recent = {
            flow: change for flow, change in self._recent.items() if change.client_account_id != account
        }
