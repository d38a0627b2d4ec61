import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    return os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "COLUMNS": "200"}


@pytest.mark.long
def test_the_lag_is_measured_and_every_event_is_seen_to_be_committed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "masterflow.scripts.bench.lag", "50", "100", "--seconds", "0.5"]
    found = subprocess.run(
        command, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120
    )
    assert (found.returncode, found.stderr) == (0, "")
    rates = [cells[1].strip() for line in found.stdout.splitlines() if len(cells := line.split("│")) > 2]
    assert rates == ["50", "100"]
