"""What a discovery flow knows while it runs, and who takes part in it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from masterflow.scripts.sample_flow.agents import Agent
from masterflow.scripts.sample_flow.cleansing import Server
from masterflow.scripts.sample_flow.csv_file import Table
from masterflow.scripts.sample_flow.dependencies import DependencyGraph
from masterflow.scripts.sample_flow.fields import FieldMapping
from masterflow.scripts.sample_flow.tech_debt import Debt
from masterflow.scripts.sample_flow.validation import Issue
from masterflow.tracker import FlowProgressTracker

T = TypeVar("T")

_BATCH_ROWS: Final = 100

#: Is shown the field mappings and returns who approved them, or None when nobody has answered yet.
Approver = Callable[[Sequence[FieldMapping]], Awaitable[str | None]]


class Scenario(StrEnum):
    """What happens to the flow."""

    WELL = "well"
    RETRY = "retry"
    APPROVAL = "approval"


class ChildStore(Protocol):
    """Where the heavy results go: the flow's child row."""

    async def save(
        self, phase: str, data: Mapping[str, Any], *, completed: bool, duration_ms: float | None
    ) -> None:
        """Keep the results of a phase."""


@dataclass
class Discovery:
    """The state of one flow: what it was given, and what each phase found for the next ones."""

    tracker: FlowProgressTracker
    csv_path: Path
    scenario: Scenario
    approver: Approver
    #: How long it rests after each batch of rows, so that people can see it move.
    rest_s: float
    #: Is called when the flow has asked people for the approval; without it the approver is asked.
    on_asked: Callable[[], None] | None = None
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    table: Table = field(default_factory=lambda: Table((), (), ","))
    issues: list[Issue] = field(default_factory=list)
    mappings: list[FieldMapping] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    graph: DependencyGraph = field(default_factory=lambda: DependencyGraph({}, {}, (), Counter()))
    debts: dict[str, Debt] = field(default_factory=dict)
    strategies: dict[str, tuple[str, str]] = field(default_factory=dict)
    cleansing_attempts: int = 0
    _agents: dict[str, Agent] = field(default_factory=dict)

    def agent(self, name: str) -> Agent:
        """Return the agent of this name, the same one every time."""
        return self._agents.setdefault(name, Agent(name, self.tracker))

    async def batches(self, items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
        """Yield the items in batches, with a rest after each."""
        for start in range(0, len(items), _BATCH_ROWS):
            yield items[start : start + _BATCH_ROWS]
            await asyncio.sleep(self.rest_s)
