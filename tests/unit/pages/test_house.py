import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MOST_MODULES = 15
MOST_LINES = 400

MODULES = [
    Path(name)
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()
    if (ROOT / name).is_file()
]  # fmt: skip

#: Too long still, and not for ever.
LONG: set[str] = set()

README = (ROOT / "README.md").read_text()
[PATH] = re.findall(r"## The path of one event\n\n```text\n(.*?)```", README, re.DOTALL)
STEPS = re.findall(r"^ +([a-z_]+/\S+\.(?:py|sql))  ", PATH, re.MULTILINE)

#: Steps that the one before reaches through a thread, a queue or the database.
FAR = ("tracker/outbox/sender.py", "tasks/delivery/task.py", "status/manager.py")


def test_no_folder_holds_more_modules_than_a_reader_takes_in() -> None:
    modules = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {str(folder): count for folder, count in modules.items() if count > MOST_MODULES} == {}


def test_no_module_is_longer_than_a_reader_takes_in() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in MODULES}
    rooms = {name: lines for name, lines in lengths.items() if not name.startswith("tests/")}
    assert {name for name, lines in rooms.items() if lines > MOST_LINES} == LONG


def imports_of(path: Path) -> set[str]:
    """Return the modules that a module imports, and the statements that it names."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(f"{node.value}.sql")
    return found


@pytest.mark.parametrize("step", [step for step in STEPS[1:] if step not in FAR])
def test_each_step_of_the_path_is_reached_from_one_above(step: str) -> None:
    name = Path(step).name if step.endswith(".sql") else f"masterflow.{step[:-3].replace('/', '.')}"
    above = [ROOT / other for other in STEPS[: STEPS.index(step)] if other.endswith(".py")]
    # The outbox is opened by what the process keeps it in.
    above += [path.with_name("delivery.py") for path in above if path.name == "process.py"]
    assert any(name in imports_of(path) for path in above if path.exists())


def test_each_decision_has_a_number_of_its_own() -> None:
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert len(numbers) == len(set(numbers))
    titles = [page.read_text().splitlines()[0] for page in pages]
    assert [
        title for title, number in zip(titles, numbers, strict=True) if not title.startswith(f"# {number}. ")
    ] == []
