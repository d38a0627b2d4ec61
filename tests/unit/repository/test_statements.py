import re
from importlib.resources import files
from pathlib import Path

import pytest

from masterflow.domain.children.child_flow import ALL_COLUMNS, MAIN_COLUMNS
from masterflow.repository.sql import source

STATEMENTS = Path(str(files("masterflow.repository.sql")))


def words_of(name: str) -> str:
    return " ".join((STATEMENTS / f"{name}.sql").read_text().split())


@pytest.mark.parametrize("name", ["list_flows", "read_status", "read_summaries"])
def test_what_a_summary_is_made_of_is_included_and_written_once(name: str) -> None:
    for spelled, part in (("as status_stamps", "summary_columns"), (") as current_phase", "summary_source")):
        assert [path.stem for path in STATEMENTS.glob("*.sql") if spelled in path.read_text()] == [part]
        assert f"-- include: {part}\n" in (STATEMENTS / f"{name}.sql").read_text()
        assert spelled in source(name)
        assert "include:" not in source(name)


@pytest.mark.parametrize("name", ["read_backfill", "read_child_status", "update_child_phase"])
def test_every_column_that_says_a_phase_is_complete_is_read_and_written(name: str) -> None:
    named = set(re.findall(r"\b([a-z_]+_completed)\b(?! is| as)", words_of(name)))
    assert set(MAIN_COLUMNS) <= named
    assert named - set(ALL_COLUMNS) <= {"phases_completed"}


@pytest.mark.parametrize("path", sorted(STATEMENTS.glob("*.sql")), ids=lambda path: path.name)
def test_each_statement_begins_with_a_sentence_that_says_what_it_does(path: Path) -> None:
    assert re.match(r"-- [A-Z].{20,}", path.read_text())
