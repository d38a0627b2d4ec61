import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_every_setting_it_names_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in re.findall(r"`((?:ENRICHMENT|MASTER|CELERY|REDIS|DATABASE)_[A-Z_]+)", PAGE):
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), name


@pytest.mark.parametrize("test", sorted(set(re.findall(r"`(tests/[\w/]+\.py)`", PAGE))))
def test_each_test_that_it_names_is_there(test: str) -> None:
    assert (ROOT / test).is_file()
