import re
from pathlib import Path
from typing import Any

import typer.main

from masterflow.scripts.flowctl.app import app
from masterflow.tasks.rights.redis import CHANNELS, COMMANDS, KEYS
from tests.support.servers.limited import redis_rules

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operations.md").read_text()
RULES = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()


def test_every_alert_leads_to_a_section_that_says_what_to_do():
    alerts = re.findall(r"- alert: (\w+)", RULES)
    targets = re.findall(r"runbook_url: (.+)", RULES)
    base = "{{ $externalLabels.runbooks }}"
    assert targets == [f'"{base}docs/operations.md#{alert.lower()}"' for alert in alerts]
    sections = dict(re.findall(r"^### (\w+)\n\n(.+)$", PAGE, re.MULTILINE))
    assert sections.keys() == set(alerts)
    assert all(len(text) > 50 for text in sections.values())


def test_every_link_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_every_command_it_names_exists():
    commands = re.findall(r"flowctl ((?:[a-z][\w-]*)(?: [a-z][\w-]*)?)", PAGE)
    assert len(commands) > 15
    for text in commands:
        known: Any = typer.main.get_group(app)
        for word in text.split():
            known = getattr(known, "commands", {}).get(word)
            assert known is not None, text


def test_every_setting_it_names_is_in_the_example():
    example = (ROOT / ".env.example").read_text()
    for name in re.findall(r"`([A-Z]+_[A-Z_]+)", PAGE):
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), name


def test_the_rights_of_our_user_of_redis_are_those_that_the_doctor_tries():
    assert redis_rules() == ["on", KEYS, "resetchannels", CHANNELS, *(f"+{command}" for command in COMMANDS)]
