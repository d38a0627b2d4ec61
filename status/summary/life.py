"""How it stands with the processes that hold a flow, and with its deadlines, as API and page tell it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel

from masterflow.domain.clock import parse_time
from masterflow.domain.control.deadlines import overdue
from masterflow.domain.json_shapes import as_map
from masterflow.domain.liveness import Liveness
from masterflow.repository.redis.holders import Holder, liveness_among, living

_MOST_LATE: Final = 20

_CAUSES: Final = {
    "witnessed": "its process was found dead",
    "goodbye": "its process ended with the flow open",
    "silent": "its process fell silent for too long",
}


class LostView(BaseModel):
    """Why a flow is lost: nobody works on it, and nobody will tell its end."""

    #: `witnessed` (its process was found dead), `goodbye` (it ended with the flow open) or `silent`.
    cause: str
    host: str | None
    last_sign_at: datetime | None
    phase: str | None


class OverdueView(BaseModel):
    """A deadline that has passed; of a phase, or of the whole flow where that is null."""

    phase: str | None
    deadline_at: datetime


class Life(BaseModel):
    """What is known of whether somebody still works on a flow."""

    liveness: Liveness | None = None
    last_sign_at: datetime | None = None
    last_sign_age_s: float | None = None
    lost: LostView | None = None
    #: A phase, or the flow, goes on past its deadline.
    is_overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeCounts:
    """How many flows of all tenants stand how."""

    alive: int
    silent: int
    lost: int
    overdue: int


def life_of(row: Mapping[Any, Any], holders: Sequence[Holder] | None) -> Life:
    """Return what a row and the signs say; without signs (None), only what the row says."""
    said = as_map(row["lost"])
    alive = living(row, holders or ())
    liveness = liveness_among(row, alive)
    lost = _lost(said, row["current_phase"]) if liveness == "lost" else None
    last_at, age_s = None, None
    if liveness in ("alive", "silent"):
        age_s = round(min(one.age_s for one in alive), 1)
        last_at = datetime.now(UTC) - timedelta(seconds=age_s)
    elif lost is not None and lost.last_sign_at is not None:
        last_at = lost.last_sign_at
        age_s = round(max(0.0, (datetime.now(UTC) - last_at).total_seconds()), 1)
    return Life(
        liveness=liveness,
        last_sign_at=last_at,
        last_sign_age_s=age_s,
        lost=lost,
        is_overdue=bool(row["is_overdue"]),
    )


def overdue_of(row: Mapping[Any, Any]) -> list[OverdueView]:
    """Return the deadlines that a row of read_status.sql says have passed, of what still goes on."""
    said = {"overdue": row["overdue"], "deadline_at": row["deadline_at"]}
    found = overdue(str(row["flow_status"]), said, row["entries"])
    return [OverdueView(phase=one.phase, deadline_at=one.deadline_at) for one in found[:_MOST_LATE]]


def life_sentence(view: Any) -> str:
    """Return what is wrong with the process of a flow; nothing where nothing is."""
    heard = f"; last heard of at {view.last_sign_at:%Y-%m-%d %H:%M:%S} UTC" if view.last_sign_at else ""
    if view.liveness == "silent":
        return f"Silent: its process has given no sign of life for {view.last_sign_age_s:.0f} s{heard}."
    if view.lost is None:
        return ""
    host = f" on {view.lost.host}" if view.lost.host else ""
    phase = f", in {view.lost.phase.replace('_', ' ')}" if view.lost.phase else ""
    return f"Lost: {_CAUSES.get(view.lost.cause, 'its process is gone')}{host}{phase}{heard}."


def _lost(said: Mapping[str, Any], phase: object) -> LostView:
    return LostView(
        cause=str(said.get("cause"))[:20],
        host=_text(said.get("host")),
        last_sign_at=parse_time(said.get("last_sign_at")),
        phase=_text(said.get("phase")) or _text(phase),
    )


def _text(value: object) -> str | None:
    return value[:200] if isinstance(value, str) and value else None
