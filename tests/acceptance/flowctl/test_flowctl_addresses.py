import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMANDS = [
    ["masterflow.scripts.flowctl", "worker"],
    ["masterflow.scripts.flowctl", "beat"],
    ["masterflow.scripts.flowctl", "health", "worker", "--name", "w@here"],
    ["masterflow.scripts.flowctl", "flag", "show"],
    ["masterflow.scripts.flowctl", "dead", "list"],
    ["masterflow.status"],
]
REDIS = (
    "Set REDIS_URL to redis://user:password@host:6379/0, or rediss://, unix:///path or"
    " sentinel://host:26379/0 (the option 'foo' is not one that every client knows)."
)
POSTGRES = (
    "Set DATABASE_URL to postgresql+psycopg://user:password@host:5432/database"
    " (the option 'foo' is not one of Postgres)."
)


def ended(command: list[str], tmp_path: Path, **settings: str) -> tuple[int, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "400",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "ENRICHMENT_JWT_KEY": "k" * 40,
        "ENRICHMENT_SPOOL_DIR": str(tmp_path),
    }
    process = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return process.returncode, process.stderr + process.stdout


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_address_that_one_part_could_not_follow_is_refused_in_one_sentence_by_every_part(
    command: list[str], tmp_path: Path
) -> None:
    code, written = ended(command, tmp_path, REDIS_URL="redis://:hunter2@cache/0?foo=1")
    assert code != 0
    assert written.strip().splitlines() == [REDIS]


@pytest.mark.long
@pytest.mark.parametrize("command", [COMMANDS[0], COMMANDS[-1], ["masterflow.scripts.flowctl", "init-db"]])
def test_so_is_one_of_the_database(command: list[str], tmp_path: Path) -> None:
    code, written = ended(command, tmp_path, DATABASE_URL="postgresql://ana:hunter2@db/flows?foo=1")
    assert code != 0
    assert written.strip().splitlines() == [POSTGRES]
