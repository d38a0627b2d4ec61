import json
import os
import subprocess
import sys

import pytest

IDS = "--client 01932b0e-0000-7000-8000-00000000000b --engagement 01932b0e-0000-7000-8000-00000000000c"
DATABASE = {"psycopg", "sqlalchemy"}
QUEUE = {"celery", "kombu", "redis"}
WEB = {"fastapi", "jinja2", "starlette", "uvicorn"}
DRAWING = {"rich"}
#: What costs 20 to 80 ms each; Typer itself reads what was typed by pydantic.
SLOW = {"asyncio", "pydantic", "secrets", "ssl"}

#: Runs commands one after the other in one process; prints after each what it has loaded by then.
PROGRAM = """
import contextlib, io, json, os, sys
from masterflow.scripts.flowctl import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["flowctl", *command.split()]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as complaint:
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    packages = sorted({name.split(".")[0] for name in sys.modules})
    print(json.dumps([command, code, complaint.getvalue(), packages]))
"""


def loaded(commands, **settings):
    """Return the exit code of each command, and the packages that are loaded after it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        command, code, complaint, packages = json.loads(line)
        yield command, code, complaint, set(packages)


GROUPS = ("dead", "events", "flag", "flow", "health", "outbox", "security")
HELP = ["--version", "--help", *(f"{name} --help" for name in GROUPS), "flow show --help", "backfill --help"]
MISUSES = ["dance", "--nonsense", "flow list", "flow show", "dead list --limit x", "dead drop --nonsense"]


@pytest.mark.parametrize("command", [*HELP[1:2], "", "dance", "flow list"])
def test_the_first_answer_waits_for_nothing_that_loads_slowly(command):
    [(_, code, _, packages)] = loaded([command])
    typers_own = {"pydantic"} if code else set()
    assert packages & (SLOW - typers_own) == set(), command


def test_help_and_misuse_load_no_database_no_queue_no_web_and_nothing_that_draws():
    for command, code, complaint, packages in loaded([*HELP, *MISUSES]):
        assert code == (0 if command in HELP else 2), (command, complaint)
        assert packages & (DATABASE | QUEUE | WEB | DRAWING | {"cryptography"}) == set(), command


COMPLETION = """
import atexit, sys
from masterflow.scripts.flowctl import main
sys.argv = ["flowctl"]
atexit.register(lambda: print(*{name.split(".")[0] for name in sys.modules}))
main()
"""


def test_completion_loads_none_of_them_either():
    words = {"_FLOWCTL_COMPLETE": "complete_bash", "COMP_WORDS": "flowctl flow list --st", "COMP_CWORD": "3"}
    command = [sys.executable, "-c", COMPLETION]
    done = subprocess.run(command, env={**os.environ, **words}, capture_output=True, text=True, check=False)
    offered, packages = done.stdout.splitlines()
    assert offered == "--status"
    assert set(packages.split()) & (DATABASE | QUEUE | WEB | DRAWING | SLOW - {"pydantic"}) == set()


@pytest.mark.parametrize(
    ("command", "code", "absent"),
    [
        ("outbox status --json", 0, DATABASE | WEB | DRAWING),
        ("dead list --json", 3, DATABASE | WEB | DRAWING),
        (f"flow list {IDS}", 3, {"celery", "kombu", *WEB}),
        ("health api --live --port 1", 3, DATABASE | QUEUE | WEB),
    ],
)
def test_a_command_loads_only_what_it_needs(command, code, absent, tmp_path, nothing_listens):
    [(_, ended, complaint, packages)] = loaded([command], ENRICHMENT_SPOOL_DIR=str(tmp_path))
    assert ended == code, complaint
    assert packages & absent == set()


#: Presses Ctrl-C when a module is asked for, and then runs what the arguments name.
INTERRUPTED = """
import runpy, sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == then:
            raise KeyboardInterrupt
then, module = sys.argv[1:3]
sys.meta_path.insert(0, CtrlC())
sys.argv[:] = sys.argv[2:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("loaded_then", "command"),
    [
        ("masterflow.scripts.flowctl.app", "masterflow.scripts.flowctl doctor"),
        ("typer", "masterflow.scripts.flowctl doctor"),
        ("sqlalchemy", "masterflow.scripts.flowctl init-db"),
        ("sqlalchemy", "masterflow.scripts.demonstration --once"),
        ("sqlalchemy", "masterflow.scripts.maintenance.backfill_master_state_from_child"),
    ],
)
def test_ctrl_c_while_modules_load_ends_without_a_word(loaded_then, command, nothing_listens):
    words = [sys.executable, "-c", INTERRUPTED, loaded_then, *command.split()]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
