import json
import unicodedata
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    PhaseTimed,
    QuestionAsked,
    StatusChanged,
    UsageReported,
    new_event,
)
from masterflow.domain.usage.amounts import Usage, UsageCounted
from masterflow.repository.merge.merges import apply_events
from masterflow.scripts.database import with_session
from tests.support.events.flows import new_context, new_flow

CONTEXT = new_context()
TENANT = ["--client", CONTEXT.client_account_id, "--engagement", CONTEXT.engagement_id]
MARK = "MARK"
_USED = Usage(1, 5, 5, 0, 0)
_COUNTED = UsageCounted(by="process-0001", agent=_USED, flow=_USED)
HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b31mb\x85c\u202ed\u2066e\u2028f\u2029g\x7f\u200fh\r\nFORGED"

COLUMNS = """
select column_name, udt_name from information_schema.columns
where table_schema = 'migration' and table_name = 'crewai_flow_state_extensions'
  and udt_name in ('jsonb', 'json')
"""


@pytest.fixture
def flow(database_setting):
    """A flow that waits, whose row holds the text wherever a reporter may write one, and where it may not."""
    flow_id = uuid4()
    story: list[tuple[Any, dict[str, Any]]] = [
        (PhaseTimed, {"phase": MARK, "execution_time_ms": 1200.0}),
        (ErrorOccurred, {"phase": MARK, "error": MARK}),
        (AgentCollaborated, {"entry": {"agent": MARK, "activity": MARK}}),
        (UsageReported, {"agent": MARK, "model": MARK, "used": _USED, "counted": _COUNTED}),
        (
            QuestionAsked,
            {"event_id": uuid4(), "key": MARK, "question": MARK, "options": [MARK]},
        ),
        (StatusChanged, {"status": "waiting_for_approval"}),
    ]

    async def make(session):
        await new_flow(session, CONTEXT, flow_id)
        await apply_events(session, [new_event(kind, CONTEXT, flow_id, **fields) for kind, fields in story])
        await session.execute(
            text(
                "update migration.crewai_flow_state_extensions set flow_name = :it, user_id = :it"
                " where flow_id = :flow_id"
            ),
            {"it": HOSTILE, "flow_id": flow_id},
        )
        for name, kind in (await session.execute(text(COLUMNS))).all():
            await session.execute(
                text(
                    f"update migration.crewai_flow_state_extensions set {name} ="
                    f" replace({name}::text, :mark, :it)::{kind} where flow_id = :flow_id"
                ),
                {"mark": MARK, "it": json.dumps(HOSTILE)[1:-1], "flow_id": flow_id},
            )

    with_session(make)
    return flow_id


def assert_harmless(*said):
    for text_ in said:
        dangerous = {char for char in text_ if not char.isprintable()} - {"\n"}
        assert dangerous == set(), [unicodedata.name(char, hex(ord(char))) for char in dangerous]
        assert not any(line.lstrip().startswith("FORGED") for line in text_.splitlines()), text_


def strings(value):
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from strings(one)
        case dict():
            for key, one in value.items():
                yield key
                yield from strings(one)


@pytest.mark.parametrize("command", [["inbox"], ["fleet"], ["fleet", "--window", "month"]])
def test_a_hostile_row_is_harmless_in_inbox_and_fleet_for_people_and_programs(flowctl, flow, command):
    code, said, complaint = flowctl(*command, *TENANT)
    assert (code, complaint) == (0, "")
    assert said.count("[2J") >= 3, said
    assert_harmless(said)
    code, as_json, complaint = flowctl(*command, *TENANT, "--json")
    assert (code, complaint) == (0, "")
    assert_harmless(as_json)
    # What programs read means what the row holds.
    assert [*strings(json.loads(as_json))].count(HOSTILE) >= 2, as_json
