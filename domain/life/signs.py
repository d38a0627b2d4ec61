"""What a process tells Redis of itself while it holds flows, for whoever shows flows or watches over them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.proofs import Spoken, is_proven
from masterflow.domain.signing.settings import SigningKeys
from masterflow.domain.tenant import flow_context

#: How often a process gives a sign, and how old its last one is before its flows are silent.
SIGN_INTERVAL_S: Final = 5.0
SILENT_AFTER_S: Final = 15.0

#: The field of the hash that tells of the process itself; the others are named as flows.
OWN_FIELD: Final = ""

_MOST_PHASES: Final = 20

#: Whoever reaches Redis can write anything there: no number beyond this is a time (the end of the year 9998).
_LAST_MOMENT: Final = 253_370_764_800_000_000
_UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class OpenPhase:
    """A phase that runs, since when and until when it should; in microseconds since 1970."""

    since: int
    deadline_at: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A flow that a process holds, as its sign tells it."""

    flow: HeldFlow
    #: The phase that started last, and all that are open.
    phase: str | None = None
    phases: Mapping[str, OpenPhase] = field(default_factory=dict)
    flow_deadline_at: int | None = None

    def text(self) -> str:
        """Return its JSON.

        {"client_account_id", "engagement_id", "user_id", "flow_type", "since", "phase", "flow_deadline_at",
        "phases": {phase: [since, deadline or null]}}
        """
        context = self.flow.context
        newest = sorted(self.phases.items(), key=lambda item: item[1].since)[-_MOST_PHASES:]
        fields = {
            "client_account_id": str(context.client_account_id),
            "engagement_id": str(context.engagement_id),
            "user_id": context.user_id,
            "flow_type": self.flow.flow_type,
            "since": self.flow.since,
            "phase": self.phase,
            "flow_deadline_at": self.flow_deadline_at,
            "phases": {phase: [one.since, one.deadline_at] for phase, one in newest},
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def read(cls, flow_id: str, text: str) -> Self:
        """Return what a field says; one of `_UNREADABLE` if it is malformed."""
        fields = json.loads(text)
        context = flow_context(fields["client_account_id"], fields["engagement_id"], fields["user_id"])
        return cls(
            HeldFlow(UUID(flow_id), context, _name(fields["flow_type"]), _moment(fields["since"])),
            _name(fields["phase"]),
            {
                str(phase): OpenPhase(_moment(since), _moment_or_none(end))
                for phase, (since, end) in fields["phases"].items()
            },
            _moment_or_none(fields["flow_deadline_at"]),
        )


@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of one process."""

    sender_id: str
    #: By its own clock, in microseconds since 1970.
    moment: int
    #: It is another one with each sign.
    sequence: int
    host: str
    pid: int
    held: Mapping[UUID, Held]
    #: The server's time of the sign, in milliseconds since 1970; None of an older version.
    at_ms: int | None = None
    #: A key of each account that it speaks of was asked for and fits.
    is_proven: bool = False
    #: Of so many flows it says something without a proof that fits, which counts for nothing.
    refused: int = 0

    @classmethod
    def read(cls, sender_id: str, fields: Mapping[str, str], keys: SigningKeys | None = None) -> Self | None:
        """Return what a process's hash says; None if it says nothing, and without what is malformed.

        With keys, without what nobody proves who holds a key of the flow's client account.
        """
        found = _own(sender_id, fields.get(OWN_FIELD))
        if found is None:
            return None
        own, proofs = found
        held: dict[UUID, Held] = {}
        refused = 0
        for account, flows in _by_account(_readable(fields)).items():
            texts = [(name, fields[name]) for name, _ in flows]
            if not keys or is_proven(own, account, texts, proofs=proofs, keys=keys):
                held |= {one.flow.flow_id: one for _, one in flows}
            else:
                refused += len(flows)
        return cls(
            sender_id,
            own.moment,
            own.sequence,
            own.host,
            own.pid,
            held,
            own.at_ms,
            is_proven=bool(keys and held),
            refused=refused,
        )

    def age_s(self, now_s: float, scored_s: float) -> float:
        """Return how long ago it was given, by the server's clock.

        What the sign says itself counts for more than its place among others, which needs no key.
        """
        at_s = scored_s if self.at_ms is None else self.at_ms / 1_000
        return max(0.0, now_s - at_s)


def own_text(
    *,
    host: str,
    pid: int,
    moment: int,
    sequence: int,
    at_ms: int | None = None,
    proofs: Mapping[str, list[str]] | None = None,
) -> str:
    """Return what a process says of itself: {"host", "pid", "moment", "sequence", "at", "proofs"}."""
    fields: dict[str, Any] = {"host": host, "pid": pid, "moment": moment, "sequence": sequence}
    if at_ms is not None:
        fields["at"] = at_ms
    if proofs:
        fields["proofs"] = proofs
    return json.dumps(fields, separators=(",", ":"))


def _own(sender_id: str, text: str | None) -> tuple[Spoken, Any] | None:
    """Return what a process says of itself, and its proofs, which may be anything."""
    try:
        own: dict[str, Any] = json.loads(text or "")
        at_ms = own.get("at")
        spoken = Spoken(
            sender_id,
            host=str(own["host"]),
            pid=int(own["pid"]),
            moment=_moment(own["moment"]),
            sequence=int(own["sequence"]),
            at_ms=None if at_ms is None else _moment(at_ms * 1_000) // 1_000,
        )
        return spoken, own.get("proofs")
    except _UNREADABLE:
        return None


def _moment(value: Any) -> int:
    moment = int(value)
    if not 0 <= moment <= _LAST_MOMENT:
        raise ValueError("That is no time.")
    return moment


def _moment_or_none(value: Any) -> int | None:
    return None if value is None else _moment(value)


def _name(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("That is no name.")
    return value


def _by_account(found: Iterable[tuple[str, Held]]) -> Mapping[UUID, list[tuple[str, Held]]]:
    accounts: dict[UUID, list[tuple[str, Held]]] = {}
    for name, held in found:
        accounts.setdefault(held.flow.context.client_account_id, []).append((name, held))
    return accounts


def _readable(fields: Mapping[str, str]) -> Iterable[tuple[str, Held]]:
    for flow_id, text in fields.items():
        if flow_id != OWN_FIELD:
            try:
                yield flow_id, Held.read(flow_id, text)
            except _UNREADABLE:
                continue
