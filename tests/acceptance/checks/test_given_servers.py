import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

ROOT = Path(__file__).parents[3]

CONFTEST = "from tests.conftest import postgres_server, redis_server, server_folder\n"
WRITING_TEST = """
def test_that_writes(postgres_server, redis_server):
    with open({file!r}, "w") as file:
        print(postgres_server, redis_server, file=file)
"""


def run_a_test(folder, **servers):
    """Return the exit code of pytest, and the servers that a test in a process of xdist saw."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_writing.py").write_text(WRITING_TEST.format(file=str(folder / "seen")))
    settings = {name: value for name, value in os.environ.items() if not name.startswith("TEST_")}
    options = [f"--config-file={ROOT / 'pyproject.toml'}", "-n1", "-pno:schemathesis"]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**settings, **servers}, capture_output=True, text=True, check=False
    )
    seen = (folder / "seen").read_text().split() if (folder / "seen").exists() else []
    return done, seen


@pytest.mark.long
def test_servers_of_the_environment_are_used(tmp_path, own_redis):
    database_url = "postgresql+psycopg://user:password@database.example/flows"
    done, seen = run_a_test(tmp_path, DATABASE_URL=database_url, REDIS_URL=own_redis.url)
    assert done.returncode == 0, done.stdout
    assert seen == [database_url, own_redis.url]


@pytest.mark.long
def test_a_redis_with_data_is_not_emptied(tmp_path, own_redis):
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("precious", "1")
        done, seen = run_a_test(tmp_path, REDIS_URL=own_redis.url)
        assert client.get("precious") == b"1"
    assert done.returncode != 0
    assert "name another one" in done.stdout + done.stderr
    assert seen == []


@pytest.mark.long
def test_without_any_they_are_embedded_ones(tmp_path):
    done, seen = run_a_test(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "?host=/tmp/enrichment-" in seen[0]
    assert "@127.0.0.1:" in seen[1]
