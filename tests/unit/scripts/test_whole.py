import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console
from rich.table import Table

from masterflow.scripts.maintenance.backfill_outcome import Outcome
from masterflow.scripts.maintenance.backfill_search import Survey
from masterflow.scripts.terminal.whole import print_whole
from masterflow.tasks.backfill.catch_up import BackfillSummary

LETTER, FLOW = "01932b0e-0000-7000-8000-00000000000a", "01932b0e-0000-7000-8000-00000000000b"
REASON = "flow_not_found"


def printed(width: int, *, terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("letter", "reason", "flow"):
        table.add_column(name, overflow="fold", no_wrap=name == "letter")
    table.add_row(LETTER, REASON, FLOW)
    table.add_row(LETTER, REASON, FLOW)
    print_whole(console, table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_no_value_is_broken_in_a_terminal_of_any_usual_width(width: int) -> None:
    text = printed(width, terminal=True)
    assert [text.count(value) for value in (LETTER, REASON, FLOW)] == [2, 2, 2]
    assert max(map(len, text.splitlines())) <= width


def test_a_pipe_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = printed(60, terminal=False).splitlines()[1:]
    assert [row.split() for row in rows] == [[LETTER, REASON, FLOW]] * 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_marks_names_and_json_are_written_in_every_encoding(encoding: str) -> None:
    program = (
        "from masterflow.scripts.terminal.encodings import write_in_any_encoding as write;"
        "from masterflow.scripts.flowctl.output import print_json; write();"
        "print_json('✔ 流 \\U0001f600 \\ud83d'); print('✔ 流')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
    document, line = done.stdout.decode(encoding).splitlines()
    assert json.loads(document) == "✔ 流 \U0001f600 \ud83d"
    assert line == ("✔ 流" if encoding == "utf-8" else "+ \\u6d41")


def test_a_record_has_no_line_for_a_value_that_is_only_blank() -> None:
    console = Console(file=io.StringIO(), width=20, force_terminal=True, color_system=None)
    table = Table(box=None)
    for name in ("letter", "progress"):
        table.add_column(name, overflow="fold", no_wrap=True)
    table.add_row(LETTER[:18], "\n")
    print_whole(console, table)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().split() == ["letter", LETTER[:18]]


def test_what_a_backfill_says_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2J\u202e\nFailed: forged"
    summary = BackfillSummary(
        looked_at=1,
        added={hostile: 1},
        skipped={"flow-1": hostile},
        failed={"flow-2": hostile},
        would_add={"flow-3": [hostile]},
    )
    outcome = Outcome(survey=Survey(left_alone={hostile: hostile}), summary=summary)
    for as_json in (False, True):
        outcome.show(as_json=as_json)
        said = capsys.readouterr()
        text = said.out + said.err
        assert "[2J" in text
        assert {char for char in text if not char.isprintable()} == {"\n"}
        assert not any(line.startswith("Failed: forged") for line in text.splitlines())
    assert json.loads(said.out)["left_alone"] == {hostile: hostile}
