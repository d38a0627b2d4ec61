"""States of flows for code that cannot await: saved and loaded by a thread with an event loop of its own."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow.domain import FlowContext, FlowNotFound, VersionConflict
from masterflow.repository.database import make_engine, session_factory
from masterflow.repository.flow_state_store import PostgresFlowStateStore
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.repository.settings import DatabaseSettings

T = TypeVar("T")

_MOST_TRIES: Final = 20


class BlockingFlowStates:
    """Saves and loads documents of flows, of any tenant that is named; any thread may call it.

    Each call waits for its own transaction, and calls of one process follow each other. A document is all
    that the state store keeps of a flow: `PostgresFlowStateStore` reads it as the flow's state. A fork gets a
    connection of its own. Calls may raise what the state store raises, DatabaseUnavailable among it.
    """

    def __init__(self, settings: DatabaseSettings | None = None, *, flow_type: str = "discovery") -> None:
        """Take the environment's settings if none are given; a missing row is made with the flow type."""
        self._settings = settings
        self._flow_type = flow_type
        self._worker: _Worker | None = None

    def load(self, context: FlowContext, flow_id: UUID | str) -> dict[str, Any] | None:
        """Return a flow's document, or None if nothing was saved of it."""

        async def read(session: AsyncSession) -> dict[str, Any] | None:
            return await PostgresFlowStateStore(session, context).load_state(flow_id)

        return self._run(read)

    def change(
        self,
        context: FlowContext,
        flow_id: UUID | str,
        phase: str | None,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        """Save what `change` makes of a flow's document, which is empty before the first save.

        `phase` becomes the flow's current one, unless it is None. What somebody else saves in between is
        changed again, 20 times at most.
        """

        async def save(session: AsyncSession) -> None:
            store = PostgresFlowStateStore(session, context)
            found = await store.load_versioned(flow_id)
            if found is None:
                await self._make_row(session, context, flow_id)
                found = await store.load_versioned(flow_id)
            if found is None:
                raise FlowNotFound(f"Flow {flow_id} has no row, and none could be made.")
            at = phase or str(found.state.get("current_phase") or "initialization")
            await store.save_state(flow_id, change(found.state), at, version=found.version)

        for _ in range(_MOST_TRIES - 1):
            with suppress(VersionConflict):
                self._run(save)
                return
        self._run(save)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        worker, self._worker = self._worker, None
        if worker is not None and worker.pid == os.getpid():
            worker.close()

    async def _make_row(self, session: AsyncSession, context: FlowContext, flow_id: UUID | str) -> None:
        tenant = context.client_account_id, context.engagement_id, context.user_id
        await CrewAIFlowStateExtensionsRepository(session, *tenant).create_master_flow(
            flow_id, self._flow_type
        )

    def _run(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        worker = self._worker
        if worker is None or worker.pid != os.getpid():
            worker = self._worker = _Worker(self._settings or DatabaseSettings())
        return worker.run(work)


class _Worker:
    """One thread, its event loop and its engine, of the process that made it."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.pid = os.getpid()
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flow-states")
        self._runner: asyncio.Runner | None = None
        self._engine: AsyncEngine | None = None

    def run(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        return self._thread.submit(self._run_here, work).result()

    def close(self) -> None:
        self._thread.submit(self._close_here).result()
        self._thread.shutdown()

    def _run_here(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._in_transaction(work))

    async def _in_transaction(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        if self._engine is None:
            self._engine = make_engine(self._settings, pool_size=1)
        async with session_factory(self._engine).begin() as session:
            return await work(session)

    def _close_here(self) -> None:
        if self._runner is not None:
            if self._engine is not None:
                self._runner.run(self._engine.dispose())
            self._runner.close()
        self._runner = self._engine = None
