"""What a process notes beside its outbox about the flows it holds, for whoever finds the process dead."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from masterflow.domain.tenant import FlowContext, flow_context

#: The file's name in the folder of the process.
HOLDING: Final = "holding"


@dataclass(frozen=True, slots=True)
class HeldFlow:
    """A flow that a process holds: it runs there, and nobody else would tell its end."""

    flow_id: UUID
    context: FlowContext
    flow_type: str | None
    #: Since when, in microseconds since 1970.
    since: int


@dataclass(slots=True)
class Holding:
    """What a process held, and when it was last heard of; what is torn or missing costs nothing else.

    One JSON object a line, times in microseconds since 1970:
    `{"hold": [flow id, client account, engagement, user, flow type], "at": time}`,
    `{"release": flow id, "at": time}`, `{"moment": time, "flows": {flow id: time}}`.
    """

    flows: dict[UUID, HeldFlow] = field(default_factory=dict)
    #: The process's last sign of life, and later ones of single flows, whose clock may be ahead.
    moment: int = 0
    moments: dict[UUID, int] = field(default_factory=dict)

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Return what the lines of a file say."""
        holding = cls()
        for line in text.splitlines():
            try:
                holding._add(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
        return holding

    def last_moment(self, flow_id: UUID) -> int:
        """Return when a flow was last heard of."""
        return max(self.moment, self.moments.get(flow_id, 0))

    def note(self, flow_id: UUID, at: int) -> None:
        """Take in that a flow was heard of."""
        self.moments[flow_id] = max(at, self.moments.get(flow_id, 0))

    def _add(self, line: dict[str, Any]) -> None:
        match line:
            case {"hold": [flow_id, account, engagement, user, flow_type], "at": int(at)}:
                flow = UUID(flow_id)
                context = flow_context(account, engagement, user)
                self.flows[flow] = HeldFlow(flow, context, flow_type, at)
                self.note(flow, at)
            case {"release": str(flow_id), "at": int(at)}:
                self.flows.pop(UUID(flow_id), None)
                self.note(UUID(flow_id), at)
            case {"moment": int(at), "flows": dict(flows)}:
                self.moment = max(self.moment, at)
                for flow_id, moment in flows.items():
                    self.note(UUID(flow_id), int(moment))


def host_of(sender_id: str) -> str:
    """Return the host in the name of an outbox's folder, `host-pid-token`."""
    return sender_id.rsplit("-", 2)[0] or sender_id


def hold_line(held: HeldFlow) -> bytes:
    """Return the line that says that a flow is held."""
    context = held.context
    whose = [str(context.client_account_id), str(context.engagement_id), context.user_id]
    return _line({"hold": [str(held.flow_id), *whose, held.flow_type], "at": held.since})


def release_line(flow_id: UUID, at: int) -> bytes:
    """Return the line that says that a flow is held no more."""
    return _line({"release": str(flow_id), "at": at})


def moment_line(at: int, flows: Mapping[UUID, int]) -> bytes:
    """Return the line that says that the process lives, and which flows were heard of later than that."""
    return _line({"moment": at, "flows": {str(flow_id): moment for flow_id, moment in flows.items()}})


def lines_of(flows: Iterable[HeldFlow], at: int) -> bytes:
    """Return a whole file: what is held now."""
    return b"".join([*map(hold_line, flows), moment_line(at, {})])


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
