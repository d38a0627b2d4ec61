"""What the user of the bridge wants of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from masterflow.domain import InputInvalid
from masterflow.domain.phases import FLOW_TYPES

#: crewAI has no types of flows; this is the one that the table was made for.
DEFAULT_FLOW_TYPE: Final = "discovery"

_MOST_CHARS: Final = 100
_DIGEST_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class Rules:
    """How flows become rows, and methods phases."""

    create_rows: bool = True
    flow_type: str = DEFAULT_FLOW_TYPE
    #: The name of a method's phase, where it is another one.
    names: Mapping[str, str] | None = None
    #: The phases that the progress is made of, in place of all methods of the flow.
    counted: tuple[str, ...] = ()

    def phase_of(self, method: str) -> str:
        """Return the phase that a method is."""
        return distinct((self.names or {}).get(method, method))

    def counted_of(self, methods: Sequence[str]) -> tuple[str, ...]:
        """Return the phases that the progress of a flow with these methods is made of."""
        return self.counted or tuple(dict.fromkeys(map(self.phase_of, methods)))


def distinct(phase: str) -> str:
    """Return a phase's name as rows have room for it: the ends of long ones stay told apart."""
    if len(phase) <= _MOST_CHARS:
        return phase
    digest = sha256(phase.encode(errors="replace")).hexdigest()[:_DIGEST_CHARS]
    return f"{phase[: _MOST_CHARS - _DIGEST_CHARS - 1]}~{digest}"


def make_rules(
    *, create_rows: bool, flow_type: str, phases: Sequence[str] | Mapping[str, str] | None
) -> Rules:
    """Return checked rules.

    Raises:
        InputInvalid: the type is none that rows have, or the phases are one text.
    """
    if flow_type not in FLOW_TYPES:
        raise InputInvalid(f"{flow_type!r:.80} is no flow type; use one of {', '.join(FLOW_TYPES)}.")
    if isinstance(phases, str):
        raise InputInvalid(f"{phases!r:.80} is one text; pass the names of the phases as a list.")
    if isinstance(phases, Mapping):
        names = {str(method): str(name) for method, name in phases.items()}
        return Rules(create_rows, flow_type, names, tuple(dict.fromkeys(names.values())))
    return Rules(create_rows, flow_type, None, tuple(phases or ()))
