import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from masterflow.scripts.flowctl.app import app
from masterflow.status.api.control import AnswerTo, Ask, Sent
from masterflow.status.api.problems import Problem
from masterflow.status.app import make_app

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "control.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_every_request_is_one_that_the_api_takes() -> None:
    paths = make_app().openapi()["paths"]
    for text in blocks("http"):
        head, _, body = text.partition("\n\n")
        method, address = head.splitlines()[0].split()
        path = re.sub(r"[0-9a-f-]{36}", "{flow_id}", address)
        assert method.lower() in paths[path]
        kind = AnswerTo if path.endswith("/answer") else Ask
        assert kind.model_validate_json(body).model_fields_set == json.loads(body).keys()
    for path in re.findall(r"`(?:GET|POST) (/api/v1/[^`|]+)`", PAGE):
        assert path.replace("{id}", "{flow_id}") in paths


def test_every_answer_is_one_that_the_api_gives() -> None:
    sent, problem = blocks("json")
    assert Sent.model_validate_json(sent).model_dump(mode="json") == json.loads(sent)
    assert Problem.model_validate_json(problem).model_dump() == json.loads(problem)


def test_every_command_is_one() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) > 5
    for line in lines:
        _, *words = shlex.split(line)
        known: Any = typer.main.get_group(app)
        while words and words[0] in getattr(known, "commands", {}):
            known = known.commands[words.pop(0)]
        # Without tenant, which the environment may give.
        context = known.make_context("flowctl", [*words, *_TENANT])
        assert context.params


def test_every_setting_it_names_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in re.findall(r"`([A-Z]+_[A-Z_]+)", PAGE):
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), name


_TENANT = [
    "--client",
    "00000000-0000-0000-0000-000000000001",
    "--engagement",
    "00000000-0000-0000-0000-000000000002",
]


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "answer", "fail"])
def test_every_action_is_told_with_what_it_does(action: str) -> None:
    assert f"| `{action}` |" in PAGE
