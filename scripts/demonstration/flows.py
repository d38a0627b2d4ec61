"""The three flows of the demo, run at the same time by an orchestrator in this process."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4, uuid5

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.scripts.sample_flow import PostgresChildStore, Scenario, create_flow, run_flow

_NAMESPACE: Final = UUID("6f0a3a52-2f5b-4c0a-8d0e-51d0c6d1c0de")

#: Whose flows these are; the same in every run, so that a listing shows the earlier ones too.
CONTEXT: Final = FlowContext(
    client_account_id=uuid5(_NAMESPACE, "client account"),
    engagement_id=uuid5(_NAMESPACE, "engagement"),
    user_id="demo",
)

_TITLES: Final = {
    Scenario.WELL: "All goes well",
    Scenario.RETRY: "An error and a retry",
    Scenario.APPROVAL: "Waiting for approval",
}


@dataclass(frozen=True)
class Act:
    """One flow of the demo."""

    scenario: Scenario
    flow_id: UUID = field(default_factory=uuid4)

    @property
    def title(self) -> str:
        """What it shows."""
        return _TITLES[self.scenario]


#: Is called with the flow, the phase that starts or the status at the end, and a percentage that changes.
OnProgress = Callable[[Act, str, int | None], None]


async def run_acts(
    acts: Sequence[Act],
    csv: Path,
    sessions: async_sessionmaker[AsyncSession],
    *,
    on_progress: OnProgress,
    on_asked: Callable[[], None] = lambda: None,
    pace_s: float,
) -> None:
    """Run the flows to their end; the one that asks people waits for them. If one fails, so does this.

    A flow takes about thirty paces.
    """
    await asyncio.gather(
        *(_run(act, csv, sessions, on_progress=on_progress, on_asked=on_asked, pace_s=pace_s) for act in acts)
    )


async def _run(
    act: Act,
    csv: Path,
    sessions: async_sessionmaker[AsyncSession],
    *,
    on_progress: OnProgress,
    on_asked: Callable[[], None],
    pace_s: float,
) -> None:
    def asked() -> None:
        on_progress(act, "waiting_for_approval", None)
        on_asked()

    await create_flow(sessions, CONTEXT, act.flow_id, name=act.title)
    outcome = await run_flow(
        CONTEXT,
        act.flow_id,
        csv,
        act.scenario,
        PostgresChildStore(sessions, CONTEXT, act.flow_id),
        on_progress=lambda phase, percent: on_progress(act, phase, percent),
        on_asked=asked if act.scenario is Scenario.APPROVAL else None,
        rest_s=pace_s,
    )
    on_progress(act, outcome.status, None)
