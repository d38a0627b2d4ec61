import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from masterflow.repository.settings import RedisSettings
from masterflow.status.settings import StatusSettings
from masterflow.tasks.settings import QueueSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path):
    """A folder with the script, whose name has a space."""
    project = tmp_path / "a project"
    (project / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "make-env", project / "scripts")
    return project


def make_env(project):
    command = [project / "scripts" / "make-env"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stdout, done.stderr


def variables(project):
    return dict(re.findall(r"^(\w+)=(.*)$", (project / ".env").read_text(), re.MULTILINE))


def test_it_makes_every_secret_that_compose_asks_for(project):
    assert make_env(project) == (0, "The secrets are in .env. Now: docker-compose up -d --build\n", "")
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    assert wanted < variables(project).keys()


def test_its_secrets_are_ones_that_our_settings_and_urls_take(project, monkeypatch):
    make_env(project)
    made = variables(project)
    for name, value in made.items():
        monkeypatch.setenv(name, value)
        assert re.fullmatch(r"[\w:]{32,}", value) or name == "ENRICHMENT_WORKER_KEYS", name
    monkeypatch.setenv("ENRICHMENT_WORKER_KEYS", made["ENRICHMENT_WORKER_KEYS"].strip("'"))
    assert QueueSettings().worker_keys
    assert StatusSettings().probe_token
    assert RedisSettings().cache_keys
    assert made["FLOWER_BASIC_AUTH"].startswith("flower:")


def test_nobody_else_can_read_it_and_nothing_else_is_left(project):
    make_env(project)
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600
    assert sorted(path.name for path in project.iterdir()) == [".env", "scripts"]


def test_no_two_secrets_are_the_same(project, tmp_path):
    secrets = []
    for _ in range(2):
        make_env(project)
        secrets += variables(project).values()
        (project / ".env").unlink()
    assert len(set(secrets)) == len(secrets) == 22


def test_what_is_there_stays_as_it_is(project):
    (project / ".env").write_text("MINE=1\n")
    code, said, complaint = make_env(project)
    assert (code, said) == (1, "")
    assert complaint == (
        "There is a .env already, and running servers know its secrets: keep it, or move it away first.\n"
    )
    assert (project / ".env").read_text() == "MINE=1\n"
    assert sorted(path.name for path in project.iterdir()) == [".env", "scripts"]
