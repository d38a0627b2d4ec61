"""The child row of a flow in a few words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from masterflow.domain.flow_types.progress import percent_of
from masterflow.domain.json_shapes import number_of
from masterflow.repository.values import known_time


class ChildStatus(BaseModel):
    """The child row in a few words, never its documents."""

    status: str
    current_phase: str | None
    #: 0 to 100, or null if nothing tells on which scale it is.
    progress_percentage: float | None
    #: Of `phases`, by its columns; null where it has none, or where its versions disagree.
    completed_phases: int | None
    phases: int | None = None
    error_phase: str | None = None
    discovered_assets: int | None
    updated_at: datetime | None
    completed_at: datetime | None = None


def child_view(row: Mapping[Any, Any]) -> ChildStatus:
    """Return the view that a row of read_child_status.sql stands for."""
    times = {name: known_time(row[name]) for name in ("updated_at", "completed_at")}
    progress = number_of(row["progress_percentage"])
    return ChildStatus.model_validate({**row, **times, "progress_percentage": progress})


def progress_note(progress: float | None, child: ChildStatus) -> str | None:
    """Return what the child row says otherwise: by its number, or by the phases that it calls complete."""
    of_child = child.progress_percentage
    if progress is None or of_child is None:
        return None
    if round(progress) != round(of_child):
        return f"Its child row says {of_child:g} %."
    if not child.completed_phases or not child.phases:
        return None
    least, next_ = (
        percent_of(count, child.phases) for count in (child.completed_phases, child.completed_phases + 1)
    )
    if round(least) <= round(progress) <= round(next_):
        return None
    return f"Its child row calls {child.completed_phases} of {child.phases} phases complete."
