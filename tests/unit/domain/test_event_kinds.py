import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from masterflow.domain.events import AnyEvent, Event
from masterflow.tasks.delivery.named_operations import ONLY_IN_BATCHES, OPERATIONS

ROOT = Path(__file__).parents[3]
MERGE = "masterflow/repository/merge/deltas.py"
NEW_KIND = '''class PhaseSkipped(Event):
    """A phase was left out."""

    lane: ClassVar[Lane] = "detail"

    kind: Literal["phase_skipped"] = "phase_skipped"
    phase: Phase


AnyEvent = Annotated[
    PhaseSkipped
    | '''


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


def add_kind(folder: Path) -> None:
    events = folder / "masterflow/domain/events.py"
    text = events.read_text()
    union = "AnyEvent = Annotated[\n    "
    assert text.count(union) == 1
    events.write_text(text.replace(union, NEW_KIND))


@pytest.mark.timeout(300)
def test_a_kind_that_the_merge_does_not_handle_fails_the_type_checker(copy: Path) -> None:
    assert mypy(copy, MERGE).returncode == 0
    add_kind(copy)
    checked = mypy(copy, MERGE)
    assert checked.returncode == 1
    assert f"{MERGE}:" in checked.stdout
    assert '"assert_never" has incompatible type "PhaseSkipped"' in checked.stdout


def test_a_kind_that_says_no_lane_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="PhaseSkipped says no lane; give it"):
        type("PhaseSkipped", (Event,), {"__module__": __name__})


def test_each_kind_has_a_named_task_or_is_only_in_batches() -> None:
    union, *_ = get_args(AnyEvent)
    assert {*OPERATIONS.values(), *ONLY_IN_BATCHES} == set(get_args(union))
    assert len(OPERATIONS) + len(ONLY_IN_BATCHES) == len(get_args(union))
