import re
from importlib.resources import files
from pathlib import Path

import pytest

from masterflow.domain.children.child_flow import ALL_COLUMNS, MAIN_COLUMNS

STATEMENTS = Path(str(files("masterflow.repository.sql")))
RULE = re.compile(r"coalesce\( flow\.flow_persistence_data.*? \) as current_phase")
COLUMNS = re.compile(r"select (flow\.flow_id, flow\.client_account_id.*?as status_stamps)")


def words_of(name: str) -> str:
    return " ".join((STATEMENTS / f"{name}.sql").read_text().split())


@pytest.mark.parametrize("name", ["list_flows", "read_status"])
def test_a_summary_is_the_same_wherever_it_is_read(name: str) -> None:
    here, there = words_of(name), words_of("read_summaries")
    assert RULE.findall(here) == RULE.findall(there) != []
    columns = [
        re.sub(rf"{RULE.pattern}|known\.current_phase", "current_phase", found)
        for text in (here, there)
        for found in COLUMNS.findall(text)
    ]
    assert len(columns) == 2
    assert columns[0] == columns[1]


@pytest.mark.parametrize("name", ["read_backfill", "read_child_status", "update_child_phase"])
def test_every_column_that_says_a_phase_is_complete_is_read_and_written(name: str) -> None:
    named = set(re.findall(r"\b([a-z_]+_completed)\b(?! is| as)", words_of(name)))
    assert set(MAIN_COLUMNS) <= named
    assert named - set(ALL_COLUMNS) <= {"phases_completed"}


@pytest.mark.parametrize("path", sorted(STATEMENTS.glob("*.sql")), ids=lambda path: path.name)
def test_each_statement_begins_with_a_sentence_that_says_what_it_does(path: Path) -> None:
    assert re.match(r"-- [A-Z].{20,}", path.read_text())
