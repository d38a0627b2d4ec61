"""A flow whose row holds, wherever a text can stand, one that would steer a terminal, a page or a log."""

import json
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    PhaseTimed,
    QuestionAsked,
    StatusChanged,
    UsageReported,
)
from masterflow.domain.usage.amounts import Usage, UsageCounted
from tests.support.events.reported_flows import Sessions, flow_of, report, told

#: What would look like an entry of a log.
FORGED: Final = "2026-01-01 00:00:00 ERROR FORGED"
HOSTILE: Final = f"a\x1b[2J\x9b31m\x85b\u202ec\u2066d\u2028e\"'><img src=x onerror=alert(1)>\r\n{FORGED}"

_MARK: Final = "MARK"
_USED: Final = Usage(1, 5, 5, 0, 0)
_COUNTED: Final = UsageCounted(by="process-0001", agent=_USED, flow=_USED)


async def hostile_flow(sessions: Sessions, context: FlowContext) -> UUID:
    """Make it, report of it, and put the text where the reports put a mark; return its id."""
    flow_id = await flow_of(sessions, context)
    await report(
        sessions,
        context,
        flow_id,
        told(_MARK, "processing", message=_MARK),
        (PhaseTimed, {"phase": _MARK, "execution_time_ms": 1200.0}),
        (ErrorOccurred, {"phase": _MARK, "error": _MARK, "details": {_MARK: _MARK}}),
        (AgentCollaborated, {"entry": {"agent": _MARK, "activity": _MARK}}),
        (UsageReported, {"agent": _MARK, "model": _MARK, "used": _USED, "counted": _COUNTED}),
        (QuestionAsked, {"event_id": uuid4(), "key": _MARK, "question": _MARK, "options": [_MARK, "no"]}),
        (QuestionAsked, {"event_id": uuid4(), "key": "free", "question": _MARK}),
        (StatusChanged, {"status": "waiting_for_approval"}),
    )
    table = "migration.crewai_flow_state_extensions"
    columns = (
        "select column_name, udt_name from information_schema.columns where table_schema = 'migration'"
        " and table_name = 'crewai_flow_state_extensions' and udt_name in ('json', 'jsonb')"
    )
    async with sessions.begin() as db:
        its = {"it": HOSTILE, "flow_id": flow_id}
        await db.execute(
            text(f"update {table} set flow_name = :it, user_id = :it where flow_id = :flow_id"), its
        )
        its = {"mark": _MARK, "it": json.dumps(HOSTILE)[1:-1], "flow_id": flow_id}
        for name, kind in (await db.execute(text(columns))).all():
            changed = f"replace({name}::text, :mark, :it)::{kind}"
            await db.execute(text(f"update {table} set {name} = {changed} where flow_id = :flow_id"), its)
    return flow_id
