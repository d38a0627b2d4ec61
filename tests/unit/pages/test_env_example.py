import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from masterflow import domain, repository, scripts, status, tasks, tracker
from masterflow.domain.settings import Settings

EXAMPLE = Path(__file__).parents[3] / ".env.example"

# Settings of programs that read the environment themselves: Flower, and the options of flowctl.
OTHERS = {"FLOWER_BASIC_AUTH", "FLOWCTL_CLIENT", "FLOWCTL_ENGAGEMENT"}


def settings_classes():
    for package in (domain, repository, scripts, status, tasks, tracker):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # The sample crew needs crewAI, and has no settings.
            if not module.name.endswith("__main__") and ".sample_crew." not in module.name:
                importlib.import_module(module.name)
    waiting, found = [Settings], []
    while waiting:
        found.append(waiting.pop())
        waiting += found[-1].__subclasses__()
    return [found for found in found if found.__module__.split(".")[0] != "tests"]


CLASSES = settings_classes()
NAMES = {field.validation_alias for kind in CLASSES for field in kind.model_fields.values()}
LINES = dict(re.findall(r"^(#?[A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_every_setting_is_listed_and_nothing_else():
    assert {name.lstrip("#") for name in LINES} == NAMES | OTHERS


def test_no_setting_is_listed_twice():
    assert len(re.findall(r"^#?[A-Z_]+=", EXAMPLE.read_text(), re.MULTILINE)) == len(LINES)


@pytest.mark.parametrize("kind", CLASSES[1:], ids=lambda kind: kind.__name__)
def test_what_is_commented_out_is_the_default(kind, monkeypatch):
    required = {name: value for name, value in LINES.items() if not name.startswith("#")}
    for name, value in required.items():
        monkeypatch.setenv(name, value)
    defaults = kind()
    for name, value in LINES.items():
        monkeypatch.setenv(name.lstrip("#"), value)
    assert kind() == defaults


@pytest.mark.parametrize("kind", CLASSES[1:], ids=lambda kind: kind.__name__)
def test_what_is_not_commented_out_is_required(kind):
    required = {field.validation_alias for field in kind.model_fields.values() if field.is_required()}
    derived = {"CELERY_BROKER_URL"}
    listed = {name for name in LINES if not name.startswith("#")}
    assert required - derived <= listed
    assert {field.validation_alias for field in kind.model_fields.values()} & listed <= required
