import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from masterflow.scripts.supervise import supervisor
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.scripts.supervise.supervisor import descendants
from tests.support.eventually import eventually

SUPERVISOR = [sys.executable, "-I", "-S", supervisor.__file__]

# A command with a child in its own group and one that has left group and session.
FAMILY = ["bash", "-c", "sleep 1000 & setsid sleep 1000 & wait"]
FAMILY_SIZE = 3


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def family_of(pid):
    members = [pid, *descendants(pid)]
    return members if len(members) == FAMILY_SIZE else None


def all_gone(pids):
    return not any(map(is_alive, pids))


def test_nothing_is_left_when_a_command_is_stopped():
    with SupervisedProcess(FAMILY) as process:
        family = eventually(lambda: family_of(process.pid))
    assert all_gone(family)


def test_nothing_is_left_when_the_holder_is_killed():
    program = (
        "from masterflow.scripts.supervise.processes import SupervisedProcess; "
        f"p = SupervisedProcess({FAMILY}); print(p.pid, flush=True); p.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as holder:
        pid = int(holder.stdout.readline())
        family = eventually(lambda: family_of(pid))
        holder.kill()
    eventually(lambda: all_gone(family))


def test_nothing_is_left_when_the_holder_closes_a_plain_pipe():
    with subprocess.Popen([*SUPERVISOR, *FAMILY], stdin=subprocess.PIPE) as process:
        family = eventually(lambda: next((f for f in map(family_of, descendants(process.pid)) if f), None))
        process.stdin.close()
        assert process.wait(10) == 128 + signal.SIGTERM
    assert all_gone(family)


def test_a_command_dies_with_a_supervisor_that_is_killed():
    with subprocess.Popen([*SUPERVISOR, "sleep", "1000"], stdin=subprocess.PIPE) as process:
        command = eventually(lambda: descendants(process.pid))
        process.kill()
    eventually(lambda: all_gone(command))


def test_what_a_command_leaves_behind_ends_with_it(tmp_path):
    pid_file = tmp_path / "pid"
    process = SupervisedProcess(["bash", "-c", f"setsid sleep 1000 & echo $! > '{pid_file}'"])
    assert process.wait(10) == 0
    assert not is_alive(int(pid_file.read_text()))


def test_a_command_is_asked_to_end_and_may_answer(tmp_path):
    log = tmp_path / "log"
    answering = "trap 'echo good-bye; exit 3' INT; echo ready; while :; do sleep 0.01; done"
    with SupervisedProcess(["bash", "-c", answering], log=log, stop_signal=signal.SIGINT) as process:
        eventually(lambda: log.exists() and "ready" in log.read_text())
        assert process.stop() == 3
    assert "good-bye" in log.read_text()


@pytest.mark.parametrize("hang", [False, True])
def test_a_command_that_does_not_listen_is_killed_after_its_grace(hang, tmp_path):
    log = tmp_path / "log"
    deaf = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    with SupervisedProcess(["bash", "-c", deaf], log=log, grace_s=0.1) as process:
        eventually(lambda: log.exists() and "ready" in log.read_text())
        if hang:
            process.pause()
        assert process.stop() == 128 + signal.SIGKILL


def test_a_paused_family_hangs_until_it_is_resumed():
    def states(family):
        return {Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] for pid in family}

    with SupervisedProcess(FAMILY) as process:
        family = eventually(lambda: family_of(process.pid))
        process.pause()
        eventually(lambda: states(family) == {"T"})
        process.resume()
        eventually(lambda: states(family) == {"S"})


def test_a_kill_ends_all_of_a_command_at_once():
    with SupervisedProcess(FAMILY) as process:
        family = eventually(lambda: family_of(process.pid))
        process.kill()
        assert all_gone(family)
        assert not process.is_running


def test_an_interrupt_is_passed_on_and_the_exit_code_comes_back():
    with subprocess.Popen([*SUPERVISOR, "sleep", "1000"], stdin=subprocess.PIPE) as process:
        eventually(lambda: descendants(process.pid))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 128 + signal.SIGINT


def test_a_supervisor_that_is_terminated_ends_its_command_first():
    with subprocess.Popen([*SUPERVISOR, *FAMILY], stdin=subprocess.PIPE) as process:
        family = eventually(lambda: next((f for f in map(family_of, descendants(process.pid)) if f), None))
        process.terminate()
        process.wait(10)
    assert all_gone(family)


def test_output_and_exit_code_pass_through(tmp_path):
    log = tmp_path / "log"
    with SupervisedProcess(
        ["bash", "-c", "echo out; echo $WORD >&2; exit 7"], env={"WORD": "err"}, log=log
    ) as process:
        assert process.wait(10) == 7
    assert log.read_text() == "out\nerr\n"


def test_a_command_that_does_not_exist_is_said_so_in_a_sentence(tmp_path):
    log = tmp_path / "log"
    with SupervisedProcess(["no-such-command"], log=log) as process:
        assert process.wait(10) == 127
    assert log.read_text() == "Cannot run no-such-command: No such file or directory.\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_command_runs_as_the_user_it_is_given(tmp_path):
    log = tmp_path / "log"
    with SupervisedProcess(["id", "-u"], user=(65534, 65534), log=log) as process:
        assert process.wait(10) == 0
    assert log.read_text() == "65534\n"
