"""The types as users see them: small programs, right and wrong, under both strict type checkers."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.packages import run

RIGHT = """
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow import (
    CrewAIFlowStateExtensionsRepository,
    FlowContext,
    FlowNotFound,
    create_progress_tracker,
    current_flow,
    flush,
    phase,
    status_router,
)

flow_id = UUID(int=1)
context = FlowContext(client_account_id=UUID(int=2), engagement_id=UUID(int=3), user_id="ann")


@phase("mapping")
async def mapped(rows: list[str]) -> dict[str, int]:
    if flow := current_flow():
        await flow.report_agent_activity("Schema Expert", "mapped the columns", {"confidence": 0.9})
    return {row: len(row) for row in rows}


async def run(db: AsyncSession) -> int:
    with create_progress_tracker(flow_id, context) as tracker, phase("import") as step:
        step.note(rows=2)
        lengths: dict[str, int] = await mapped(["one", "two"])
    await tracker.complete_flow({"lengths": lengths})
    repository = CrewAIFlowStateExtensionsRepository(db, UUID(int=2), UUID(int=3), "ann")
    try:
        await repository.update_flow_status(flow_id, "completed")
    except FlowNotFound as error:
        print(error.reason)
    return len(status_router.routes)


delivered: bool = flush(30)
"""

#: A line to put below the right program, and what of it a checker has to object to.
WRONG = {
    "a name that does not exist": "from masterflow import fase",
    "a phase without a name": "phase()",
    "a tracker without a tenant": "create_progress_tracker(flow_id)",
    "rows of another type, through the decorator": "mapped(7)",
    "a decorated function whose result is another": "async def wrong() -> str:\n    return await mapped([])",
    "a tenant without a user": "FlowContext(client_account_id=UUID(int=2), engagement_id=UUID(int=3))",
    "a flush for a text": 'flush("soon")',
    "a status that is a number": (
        "async def wrong(repository: CrewAIFlowStateExtensionsRepository) -> None:\n"
        "    await repository.update_flow_status(flow_id, 3)"
    ),
}

CHECKERS = {
    "mypy": (
        [
            "mypy",
            "--strict",
            "--config-file=",
            f"--cache-dir={os.devnull}",
            "program.py",
            "--python-executable",
        ],
        r"program\.py:(\d+): error",
    ),
    "pyright": (["pyright", "--pythonpath"], r"program\.py:(\d+):\d+ - error"),
}


@pytest.fixture(scope="module")
def users_python(wheel, tmp_path_factory):
    """The Python of an environment that has our wheel, and what it depends on from this one."""
    folder = tmp_path_factory.mktemp("types") / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder.parent)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "here.pth").write_text(sysconfig.get_path("purelib"))
    with zipfile.ZipFile(wheel) as files:
        files.extractall(packages)
    return folder / "bin" / "python"


def objections(checker, program, python, folder):
    """Return the lines of the program that a checker objects to."""
    (folder / "program.py").write_text(program)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "include": ["program.py"]}')
    (name, *options), pattern = CHECKERS[checker]
    words = [Path(sys.executable).with_name(name), *options, python]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    lines = {int(line) for line in re.findall(pattern, done.stdout)}
    assert done.returncode == bool(lines), done.stdout + done.stderr
    return lines


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_right_program_passes_and_of_a_wrong_one_every_wrong_line_is_found(checker, users_python, tmp_path):
    assert objections(checker, RIGHT, users_python, tmp_path) == set()
    program, blocks = RIGHT, {}
    for what, text in WRONG.items():
        begin = program.count("\n") + 1
        program += f"{text}\n"
        blocks[what] = range(begin, program.count("\n") + 1)
    found = objections(checker, program, users_python, tmp_path)
    assert [what for what, lines in blocks.items() if not found & set(lines)] == []
    assert found <= {line for lines in blocks.values() for line in lines}
