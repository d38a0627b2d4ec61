"""The agents of the crew: each works in a thread, and reports what it found and how well it did."""

import asyncio
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from masterflow.tracker import FlowProgressTracker

P = ParamSpec("P")
T = TypeVar("T")


class Agent:
    """A worker with one speciality; it tells the flow's tracker, and nobody else."""

    def __init__(self, name: str, tracker: FlowProgressTracker) -> None:
        self.name = name
        self._tracker = tracker
        self._calls = self._items = self._flawed = 0
        self._busy_s = 0.0

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work returns; the event loop goes on meanwhile."""
        started_s = time.monotonic()
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self._calls += 1
            self._busy_s += time.monotonic() - started_s

    async def report(self, activity: str, *, items: int, flawed: int = 0, **details: object) -> None:
        """Report a finding about so many items, of which some were flawed, and this agent's totals."""
        self._items += items
        self._flawed += flawed
        details |= {"items": items, "flawed": flawed}
        await self._tracker.report_agent_activity(self.name, activity, details)
        await self._tracker.report_agent_performance({self.name: self._performance()})

    def _performance(self) -> dict[str, float]:
        return {
            "calls": self._calls,
            "items": self._items,
            "success_rate": round(1 - self._flawed / max(self._items, 1), 4),
            "response_time_ms": round(self._busy_s / max(self._calls, 1) * 1000, 3),
        }
