"""The master rows of a run: made before the clock starts, and read when it has stopped."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import psycopg

from masterflow.scripts.bench.peers.workload import (
    NEWEST,
    PHASES,
    Spec,
    expect,
    expect_steps,
    flow_uuid,
    old_entry,
    phase_of,
)

#: Client account, engagement and user of all flows.
TENANT: Final = (UUID(int=1), UUID(int=2), "bench")
_TABLE: Final = "migration.crewai_flow_state_extensions"
_INSERT: Final = f"""
insert into {_TABLE} (id, flow_id, client_account_id, engagement_id, user_id, flow_type, flow_status,
    phase_transitions, error_history, agent_collaboration_log)
values (gen_random_uuid(), %s, %s, %s, %s, 'discovery', 'processing', %s::jsonb, %s::jsonb, %s::jsonb)
"""  # noqa: S608
_READ: Final = f"""
select flow_status, phase_transitions, agent_collaboration_log, phase_execution_times from {_TABLE}
where flow_id = %s
"""  # noqa: S608


class Rows:
    """The rows of the flows of a spec."""

    def __init__(self, connection: "psycopg.Connection[Any]", spec: Spec) -> None:
        self._connection = connection
        self._spec = spec

    def make(self) -> None:
        """Insert one row a flow, with empty lists or with full ones."""
        lists = _full_lists() if self._spec.is_full else ["[]", "[]", "[]"]
        rows = [(flow_uuid(number), *TENANT, *lists) for number in self._spec.numbers]
        with self._connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)
        self._connection.execute(f"analyze {_TABLE}")

    def check(self) -> None:
        """Make sure that each row holds what its flow did, each event once; else `expect` raises Unequal."""
        for number in self._spec.numbers:
            rows = self._connection.execute(_READ, [flow_uuid(number)]).fetchall()
            expect(number, "rows", len(rows), 1)
            [[status, transitions, log, times]] = rows
            expect(number, "the status", status, "completed")
            expect(number, "transitions", _short(transitions), self._transitions())
            expect(
                number,
                "transitions that are there once",
                len({item["id"] for item in transitions}),
                len(transitions),
            )
            expect_steps(self._spec, number, [item["details"]["step"] for item in log])
            attempts = {name: times[name]["attempts"] for name in times}
            expect(number, "attempts", attempts, dict.fromkeys(PHASES, self._spec.rounds))

    def _transitions(self) -> list[tuple[str, str]]:
        ours = [
            (phase_of(step), status) for step in self._spec.steps for status in ("processing", "completed")
        ]
        old = [(f"old_{number}", "completed") for number in range(NEWEST)] if self._spec.is_full else []
        return [*old, *ours][-NEWEST:]


def _short(transitions: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["phase"], item["status"]) for item in transitions]


def _full_lists() -> list[str]:
    begin = datetime.now(UTC) - timedelta(hours=1)
    common = [
        {
            "id": str(uuid5(UUID(int=0), str(n))),
            "timestamp": (begin + timedelta(seconds=n)).isoformat("T", "microseconds"),
        }
        for n in range(NEWEST)
    ]
    transitions = [
        {**item, "phase": f"old_{n}", "status": "completed", "metadata": {"records_processed": n}}
        for n, item in enumerate(common)
    ]
    errors = [
        {**item, "phase": f"old_{n}", "error": f"row {n}: bad address", "details": {"row": n}}
        for n, item in enumerate(common)
    ]
    log = [{**item, "phase": f"old_{n}", **old_entry(NEWEST - 1 - n)} for n, item in enumerate(common)]
    return [json.dumps(documents) for documents in (transitions, errors, log)]
