import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from masterflow.domain.events import AnyEvent, Event
from masterflow.tasks.delivery.named_operations import ONLY_IN_BATCHES, OPERATIONS

ROOT = Path(__file__).parents[3]
MERGE = "masterflow/repository/merge/deltas.py"
PAGE = (ROOT / "docs/add-an-event.md").read_text()
CLASS, CASE = (textwrap.dedent(block) for block in re.findall(r"   ```python\n(.*?)   ```", PAGE, re.DOTALL))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    house = tmp_path / "masterflow"
    for room in ("domain", "repository"):
        shutil.copytree(ROOT / room, house / room)
    (house / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def mypy(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", f"--cache-dir={folder / 'cache'}", *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def put_before(path: Path, line: str, text: str) -> None:
    content = path.read_text()
    assert content.count(line) == 1
    path.write_text(content.replace(line, f"{text}{line}"))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_kind_that_the_merge_does_not_handle_fails_the_type_checker(copy: Path) -> None:
    assert mypy(copy, MERGE).returncode == 0
    events, deltas = copy / "masterflow/domain/events", copy / MERGE
    put_before(events / "reports.py", "class UsageReported(Event):\n", f"{CLASS}\n\n")
    put_before(events / "__init__.py", "    PhaseTimed,\n", "    PhaseSkipped,\n")
    put_before(events / "__init__.py", '    "PhaseTimed",\n', '    "PhaseSkipped",\n')
    put_before(events / "__init__.py", "    PhaseTransitioned\n    | ", "    PhaseSkipped\n    | ")
    checked = mypy(copy, MERGE)
    assert checked.returncode == 1
    [message] = re.findall(r"`(Argument 1 to \"assert_never\" .*?)`", PAGE)
    assert f"{MERGE}:" in checked.stdout
    assert message in checked.stdout
    put_before(deltas, "            case _:\n", textwrap.indent(CASE, " " * 12))
    put_before(deltas, "    StatusChanged,\n", "    PhaseSkipped,\n")
    assert mypy(copy, MERGE).stdout.startswith("Success")


def test_the_page_on_a_new_kind_names_files_that_are_there() -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", PAGE)
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_kind_that_says_no_lane_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="PhaseSkipped says no lane; give it"):
        type("PhaseSkipped", (Event,), {"__module__": __name__})


def test_each_kind_has_a_named_task_or_is_only_in_batches() -> None:
    union, *_ = get_args(AnyEvent)
    assert {*OPERATIONS.values(), *ONLY_IN_BATCHES} == set(get_args(union))
    assert len(OPERATIONS) + len(ONLY_IN_BATCHES) == len(get_args(union))
