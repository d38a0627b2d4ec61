"""Awaited writes: the flow itself writes its row through the repository, in two transactions a phase."""

import asyncio
import os
import time
from typing import Final

import psycopg

from masterflow.repository import CrewAIFlowStateExtensionsRepository
from masterflow.repository.database import DatabaseSettings, make_engine, session_factory
from masterflow.scripts.bench.peers.rows import TENANT, Rows
from masterflow.scripts.bench.peers.workload import Spec, Stopwatch, entry, flow_uuid, phase_of, serve

_USER: Final = (str(TENANT[0]), str(TENANT[1]), TENANT[2])


class RepositoryWrites:
    """One transaction when a phase begins, and one for its entry, its time and its end."""

    def __init__(self, spec: Spec, stopwatch: Stopwatch) -> None:
        self._spec = spec
        self._stopwatch = stopwatch
        self._runner = asyncio.Runner()
        self._connection = psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True)
        self._rows = Rows(self._connection, spec)

    def prepare(self) -> None:
        """Make the rows and the pool."""
        self._rows.make()
        settings = DatabaseSettings.model_validate({"DATABASE_URL": os.environ["DATABASE_URL"]})
        self._engine = make_engine(settings, pool_size=self._spec.lanes)
        self._sessions = session_factory(self._engine)

    def run(self) -> None:
        """Run all flows."""
        self._runner.run(self._run())

    def check(self) -> None:
        """Read the rows."""
        self._rows.check()

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._engine.dispose())
        self._runner.close()
        self._connection.close()

    async def _run(self) -> None:
        lanes = asyncio.Semaphore(self._spec.lanes)
        await asyncio.gather(*(self._flow(number, lanes) for number in self._spec.numbers))

    async def _flow(self, number: int, lanes: asyncio.Semaphore) -> None:
        flow_id = flow_uuid(number)
        async with lanes, self._sessions() as db:
            repository = CrewAIFlowStateExtensionsRepository(db, *_USER, enrichment_enabled=True)
            self._stopwatch.begin()
            for step in self._spec.steps:
                name = phase_of(step)
                began = time.perf_counter()
                await repository.add_phase_transition(flow_id, name, "processing")
                await db.commit()
                self._stopwatch.body()
                await repository.append_agent_collaboration(flow_id, entry(step))
                await repository.record_phase_execution_time(
                    flow_id, name, (time.perf_counter() - began) * 1_000
                )
                await repository.add_phase_transition(flow_id, name, "completed")
                await db.commit()
            await repository.update_flow_status(flow_id, "completed")
            await db.commit()
            self._stopwatch.end()


if __name__ == "__main__":
    serve(RepositoryWrites)
