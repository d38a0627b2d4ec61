import ast
import re
import shlex
from pathlib import Path
from types import FunctionType
from unittest.mock import create_autospec

import typer.main

from masterflow.bridges import crewai
from masterflow.scripts.flowctl.app import app
from tests.support.events.reported import CONTEXT, FLOW_ID

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
PROMISE = """
once the hook has returned, the event is delivered at least once and takes effect exactly once; a process kill
loses nothing, a power cut at most the last 200 ms (`ENRICHMENT_FSYNC=always` closes that); the outbox is
bounded, and what it drops when full is counted and is never a status, transition or error before all else is
gone.
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_it_is_short_enough_to_be_read_whole():
    assert len(README.split()) < 1_100


def test_it_makes_the_promise_in_these_words():
    assert " ".join(PROMISE.split()) in README.replace("Once the hook", "once the hook")


def test_every_link_leads_somewhere():
    pictures = re.findall(r'src(?:set)?="([^"]+)"', README)
    assert len(pictures) == 4
    for link in [*re.findall(r"\]\(([^)]+)\)", README), *pictures]:
        assert (ROOT / link).exists(), link


def test_every_file_on_the_path_of_an_event_exists():
    [path] = blocks("text")
    files = re.findall(r"[\w/]+\.(?:py|sql)", path)
    assert len(files) >= 10
    for file in files:
        assert (ROOT / file).exists(), file


def test_every_folder_of_the_house_exists():
    for folder in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / folder / "__init__.py").exists(), folder


def test_every_setting_it_names_is_in_the_example():
    example = (ROOT / ".env.example").read_text()
    for name in re.findall(r"`([A-Z]+_[A-Z_]+)", README):
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), name


def test_every_command_it_names_exists():
    known = typer.main.get_group(app).commands
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    for command in [shlex.split(line, comments=True) for line in lines]:
        if command[0] == "flowctl":
            assert command[1] in known
        elif command[0].startswith("./"):
            assert (ROOT / command[0]).stat().st_mode & 0o111
        else:
            assert command[0] in {"pip", "python"}
    for name in re.findall(r"`flowctl (\w[\w-]*)", README):
        assert name in known


def test_the_two_lines_for_crewai_are_what_install_takes(monkeypatch):
    [lines, _] = blocks("python")
    install = create_autospec(crewai.install)
    monkeypatch.setattr(crewai, "install", install)
    exec(lines, {"my_context": CONTEXT})
    install.assert_called_once_with(context=CONTEXT)


async def test_what_it_tells_orchestrators_to_write_works(told):
    [_, example] = blocks("python")

    async def read_servers():
        return ["one", "two"]

    names = {"flow_id": FLOW_ID, "context": CONTEXT, "read_servers": read_servers}
    code = compile(example, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await FunctionType(code, names)()
    assert told.transitions[:2] == ["data_import:processing", "data_import:completed"]
    assert told.facts("data_import:completed")["rows"] == 2
    assert told.statuses[-2:] == ["waiting_for_approval", "completed"]
