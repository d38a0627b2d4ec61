"""The status of a flow, by the four rules of docs/adr/0002."""

from collections.abc import Iterable
from typing import Any

from masterflow.domain.events import AnyEvent, FlowRetried, StatusChanged

_FINAL = ("completed", "cancelled")
_ENDED = (*_FINAL, "archived", "deleted")

#: Older than all events.
_BEFORE = ""


class Status:
    """What is known of a flow's status: `facts` is what the bookkeeping says of it."""

    def __init__(self, shown: str, facts: dict[str, Any], *, changed: str, since: str) -> None:
        self._shown = shown
        if facts and facts.get("wrote", shown) != shown:
            # The application has spoken; what is older than the time when the row changed counts no more.
            facts = {"spoken": [changed, shown]}
        elif since and not facts:
            facts = {"spoken": [since, shown]}
        self._facts = {name: fact for name, fact in facts.items() if name != "wrote"}
        spoken = self._facts.get("spoken")
        self._since = spoken[0] if spoken else _BEFORE
        self._has_ended = (spoken[1] if spoken else shown) in _ENDED and (
            bool(spoken) or not facts.get("final")
        )
        if spoken and spoken[1] == "failed":
            self._newest("failed", spoken[0])
        elif not spoken and shown == "failed" and "failed" not in facts:
            self._facts["failed"] = _BEFORE

    def take(self, event: AnyEvent) -> None:
        """Learn from an event."""
        if event.stamp <= self._since:
            return
        if isinstance(event, FlowRetried):
            self._newest("reopened", event.stamp)
        elif isinstance(event, StatusChanged):
            self._take_report(event)

    def _take_report(self, event: StatusChanged) -> None:
        if event.status in _FINAL:
            self._facts["final"] = min([event.stamp, event.status], self._facts.get("final", ["~"]))
        elif event.status == "failed":
            self._newest("failed", event.stamp)
        else:
            self._newest("latest", [event.stamp, event.status])
            if event.reopens:
                self._newest("reopened", event.stamp)

    def _newest(self, fact: str, value: Any) -> None:
        self._facts[fact] = max(value, self._facts.get(fact, value))

    @property
    def shown(self) -> str:
        """Return the status by the four rules."""
        facts = self._facts
        if self._has_ended:
            return self._shown
        if final := facts.get("final"):
            return str(final[1])
        failed, reopened = facts.get("failed"), facts.get("reopened")
        if failed is not None and (reopened is None or failed > reopened):
            return "failed"
        latest = facts.get("latest")
        if failed is not None and (latest is None or latest[0] < reopened):
            return "processing"
        return str(latest[1]) if latest else self._shown

    def kept(self) -> dict[str, Any]:
        """Return what the bookkeeping says of it."""
        facts = {name: fact for name, fact in self._facts.items() if name != "final" or not self._has_ended}
        return facts | {"wrote": self.shown}


def status_after(status: Status, events: Iterable[AnyEvent]) -> Status:
    for event in events:
        status.take(event)
    return status
