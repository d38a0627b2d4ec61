import signal
import subprocess
import sys
from pathlib import Path

import pytest

from masterflow.scripts.supervise.supervisor import descendants
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[3]
HANGING_TEST = """
from pathlib import Path
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.scripts.supervise.processes import SupervisedProcess

def test_that_hangs(tmp_path):
    with EmbeddedRedis(tmp_path), SupervisedProcess(["bash", "-c", "setsid sleep 1000 & wait"]) as process:
        Path(__file__).with_name("ready").touch()
        process.wait()
"""


@pytest.mark.long(but=["2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_checks_are_ended(number, tmp_path):
    (tmp_path / "test_hanging.py").write_text(HANGING_TEST)
    arguments = [
        str(tmp_path / "test_hanging.py"),
        "--numprocesses=1",
        "-pno:schemathesis",
        f"--config-file={ROOT / 'pyproject.toml'}",
    ]
    command = [sys.executable, "-m", "masterflow.scripts.checks", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as run:
        eventually((tmp_path / "ready").exists, timeout_s=60)
        family = descendants(run.pid)
        assert len(family) > 6
        run.send_signal(number)
        run.wait(30)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), timeout_s=30)
