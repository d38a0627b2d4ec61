import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
EQUALS = ("this project", "one Celery task per event", "awaited repository writes")

_QUICK_TIMEOUT_S = 600

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page that the quick form writes, out of the one of the repository."""
    page = tmp_path_factory.mktemp("docs") / "benchmarks.md"
    page.write_text((ROOT / "docs" / "benchmarks.md").read_text())
    kept = page.with_name("kept")
    command = [ROOT / "scripts" / "bench" / "run", "--quick", "--kept", kept, "--page", page]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_QUICK_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return page


def rows(page, title):
    """The rows of the first table under a heading of the page, as lists of cells."""
    section = page.read_text().partition(f"### {title}\n")[2].partition("\n###")[0]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE).group()
    return [[cell.strip(" *") for cell in line.strip("| ").split("|")] for line in table.splitlines()][2:]


@pytest.mark.timeout(_QUICK_TIMEOUT_S)
def test_everyone_is_measured_over_the_same_loads(page):
    for title in ("What a phase costs the flow", "How many phases a second become durable"):
        found = rows(page, title)
        assert tuple(row[0] for row in found) == EQUALS
        assert all(float(cell.replace(",", "")) > 0 for row in found for cell in row[1:])


@pytest.mark.timeout(_QUICK_TIMEOUT_S)
def test_the_lag_from_hook_to_commit_is_measured(page):
    [[rate, *lags]] = [row[:5] for row in rows(page, "From hook to commit")]
    assert rate == "50"
    assert [float(lag) for lag in lags] == sorted(float(lag) for lag in lags)


@pytest.mark.timeout(_QUICK_TIMEOUT_S)
def test_growth_and_a_backlog_are_measured(page):
    assert [row[0] for row in rows(page, "Age and size")] == [
        "a flow of 200 events",
        "a flow of 400 events",
        "a table of 1,000 rows",
        "a table of 2,000 rows",
    ]
    [[broker, workers, phases, *_]] = rows(page, "Workers and brokers")
    assert (broker, workers, phases) == ("Redis", "1", "50")


@pytest.mark.timeout(_QUICK_TIMEOUT_S)
def test_the_page_says_where_and_how_it_was_measured(page):
    text = page.read_text()
    assert "Command: `./scripts/bench/run --quick`" in text
    assert re.search(r"commit `([0-9a-f]{12}|unknown)", text)
    assert re.search(r"\d+ cores of .*PostgreSQL \d+.*Redis \d.*Python 3", text)


@pytest.mark.timeout(_QUICK_TIMEOUT_S)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["cost", "throughput"])
def test_each_drawing_is_there_for_light_and_dark_pages(page, name, theme):
    file = f"benchmark-{name}-{theme}.svg"
    assert f"images/{file}" in page.read_text()
    words = "".join(ElementTree.parse(page.with_name("images") / file).getroot().itertext())
    assert all(who in words for who in EQUALS)
