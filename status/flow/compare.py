"""Two flows of a tenant side by side: their phases, causes of errors, agents and totals."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from masterflow.domain.fleet.facts import NAME_CHARS
from masterflow.status import examples
from masterflow.status.entry_texts import entry_text
from masterflow.status.flow.details import FlowDetails
from masterflow.status.usage import UsageFigures


class FlowSide(BaseModel):
    """One of the two in all."""

    flow_id: UUID
    flow_type: str
    flow_name: str | None
    status: str
    created_at: datetime | None
    #: From its creation until it ended, or until now.
    took_ms: float | None
    error_count: int
    retry_count: int
    usage: UsageFigures | None


class PhaseSide(BaseModel):
    """A phase of one of the two."""

    status: str | None
    took_ms: float | None
    attempts: int | None
    errors: int


class PhasePair(BaseModel):
    """A phase of both; null where a flow has no such phase."""

    phase: str
    this: PhaseSide | None
    other: PhaseSide | None
    #: How much longer it took in the other flow, and how many times as long; null where a time is missing.
    difference_ms: float | None
    times: float | None


class CausePair(BaseModel):
    """How many errors of a cause each has."""

    cause: str
    this: int
    other: int


class AgentPair(BaseModel):
    """What an agent used in each; null where it used nothing that was told."""

    agent: str
    this: UsageFigures | None
    other: UsageFigures | None


class Comparison(BaseModel):
    """Two flows side by side."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COMPARISON]})

    this: FlowSide
    other: FlowSide
    phases: list[PhasePair]
    causes: list[CausePair]
    agents: list[AgentPair]


def comparison_of(this: FlowDetails, other: FlowDetails) -> Comparison:
    """Return two flows side by side, phases in the order of the first, then of the second."""
    ours, theirs = _phases(this), _phases(other)
    causes = [{one.cause: one.errors for one in side.errors.causes} for side in (this, other)]
    agents = [_agents(side) for side in (this, other)]
    return Comparison(
        this=_side(this),
        other=_side(other),
        phases=[_pair(name, ours.get(name), theirs.get(name)) for name in _names(ours, theirs)],
        causes=[
            CausePair(cause=cause, this=causes[0].get(cause, 0), other=causes[1].get(cause, 0))
            for cause in _names(*causes)
        ],
        agents=[
            AgentPair(agent=agent, this=agents[0].get(agent), other=agents[1].get(agent))
            for agent in _names(*agents)
        ],
    )


def _names(*both: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for names in both for name in names))


def _side(details: FlowDetails) -> FlowSide:
    status = details.status
    fields: dict[str, Any] = status.model_dump(include=set(FlowSide.model_fields) - {"usage"})
    usage = status.usage and UsageFigures(**status.usage.model_dump(include=set(UsageFigures.model_fields)))
    return FlowSide(**fields, took_ms=details.usual.whole.took_ms, usage=usage)


def _phases(details: FlowDetails) -> dict[str, PhaseSide]:
    errors = Counter(entry_text(entry.get("phase"))[:NAME_CHARS] for entry in details.errors.errors)
    took = {one.phase: one.took_ms for one in details.usual.phases}
    return {
        view.phase: PhaseSide(
            status=view.status,
            took_ms=took.get(view.phase),
            attempts=view.attempts,
            errors=errors[view.phase],
        )
        for view in details.status.phase_details
    }


def _pair(phase: str, this: PhaseSide | None, other: PhaseSide | None) -> PhasePair:
    ours, theirs = this.took_ms if this else None, other.took_ms if other else None
    difference = times = None
    if ours is not None and theirs is not None:
        difference, times = theirs - ours, round(theirs / ours, 2) if ours else None
    return PhasePair(phase=phase, this=this, other=other, difference_ms=difference, times=times)


def _agents(details: FlowDetails) -> Mapping[str, UsageFigures]:
    return {one.agent: one for one in details.status.usage.agents} if details.status.usage else {}
