import re
from importlib.resources import files
from pathlib import Path

import pytest

from masterflow.domain.flow_types.catalog import CHILD_TABLES, SPECIFICATIONS
from masterflow.repository.sql import source

# What the list fills in for its direction and order.
FILLED = dict.fromkeys(["beyond", "beyond_key", "creation_order", "reversed_order", "key_order"], "true")

STATEMENTS = Path(str(files("masterflow.repository.sql")))


@pytest.mark.parametrize("name", ["list_flows", "read_status", "read_summaries"])
def test_what_a_summary_is_made_of_is_included_and_written_once(name: str) -> None:
    for spelled, part in (("as floors", "summary_columns"), (") as current_phase", "flow_source")):
        assert [path.stem for path in STATEMENTS.glob("*.sql") if spelled in path.read_text()] == [part]
        assert f"-- include: {part}\n" in "".join(
            (STATEMENTS / f"{one}.sql").read_text() for one in (name, "summary_source")
        )
        assert spelled in source(name, **FILLED)
        assert "include:" not in source(name, **FILLED)


def test_what_is_specified_of_flow_types_stands_in_no_statement() -> None:
    specified = {name for spec in SPECIFICATIONS.values() for name in spec.names}
    specified |= {column for table in CHILD_TABLES.values() for column in table.columns}
    # Words of SQL and of every row, which happen to be names of phases as well.
    specified -= {"completed"}
    for path in STATEMENTS.glob("*.sql"):
        assert specified & set(re.findall(r"\w+", path.read_text())) == set(), path.name


@pytest.mark.parametrize("path", sorted(STATEMENTS.glob("*.sql")), ids=lambda path: path.name)
def test_each_statement_begins_with_a_sentence_that_says_what_it_does(path: Path) -> None:
    assert re.match(r"-- [A-Z].{20,}", path.read_text())
