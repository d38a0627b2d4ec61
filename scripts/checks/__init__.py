"""Every check there is, the quick ones first; `./scripts/test` runs this."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from masterflow.scripts.supervise.processes import SupervisedProcess

_ROOT = Path(__file__).resolve().parents[2]
_OF_THE_REPOSITORY = (
    "checkpoints",
    "database",
    "discovery_flow",
    "feature_flag",
    "flow_state_store",
    "master_flow",
    "merges",
    "secure_cache",
)
_ROOMS = ("bridges", "domain", "repository", "scripts", "status", "tasks", "tracker")
_STARTED = time.monotonic()

LINTERS: Mapping[str, Sequence[str]] = {
    "Lint": ["ruff", "check"],
    "Format": ["ruff", "format", "--check"],
    "Types": ["mypy"],
    "Import contracts": ["lint-imports", "--no-logo"],
    "Declared imports": ["deptry", "--no-ansi", *_ROOMS],
}
# Made once, while the linters run: it waits for a package index and they for one core.
LOWEST_ENVIRONMENT: Sequence[str] = ["bash", "scripts/environment.sh", "lowest"]
# With a framework that has 140 packages; made while other tests run.
CREWAI_ENVIRONMENT: Sequence[str] = ["bash", "scripts/environment.sh", "crewai"]
_OLDER = "tests/bridges/crewai/test_older.py"
CREWAI: Mapping[str, Sequence[str]] = {
    "Flows of crewAI and LangGraph": ["pytest", "tests/bridges", f"--ignore={_OLDER}"]
}
# What an older crewAI can do, for whoever asks for it: its packages are another gigabyte.
CREWAI_OLDER: Mapping[str, Sequence[str]] = {"Flows of an older crewAI": ["pytest", _OLDER]}
# With what an orchestrator and an API process run, since workers want a newer Celery. Faults and
# measurements are of the newest versions.
LOWEST: Mapping[str, Sequence[str]] = {
    "Tests on the oldest versions": [
        ".local/lowest/bin/python",
        "-m",
        "pytest",
        "--numprocesses=2",
        "--hypothesis-profile=few",
        "-m",
        "not alone",
        *(f"tests/unit/{room}" for room in _ROOMS if room != "scripts"),
        "--ignore=tests/unit/domain/masking",  # of the standard library alone, as is the next
        "--ignore=tests/unit/tracker/outbox/test_power_cuts.py",
        "--ignore=tests/unit/domain/test_event_kinds.py",  # of the type checker
        "--ignore=tests/unit/tasks/test_celeryconfig.py",  # of a worker's Celery
        "--ignore=tests/unit/tracker/usage/test_observability.py",  # of OpenTelemetry
        *(f"tests/integration/repository/test_{name}.py" for name in _OF_THE_REPOSITORY),
        *(f"tests/integration/status/test_status_{name}.py" for name in ("access", "api")),
    ],
}
TESTS: Mapping[str, Sequence[str]] = {
    # Many of them wait, so two cores have room for four.
    "Tests, four at a time": [
        "pytest",
        "--numprocesses=4",
        "-m",
        "(unit or simulation or integration or acceptance) and not alone",
        "--ignore=tests/acceptance/deployment",
    ],
    # What measures has the machine to itself.
    "Tests, one at a time": ["pytest", "-m", "alone"],
}
# Faults wait for most of their time, so this works beside them; --soak 30m lets the faults alone run for
# longer.
BESIDE_FAULTS: Mapping[str, Sequence[str]] = {
    "The page in a browser": ["pytest", "-m", "browser and not alone"],
}
# With two processes of their own, too much for faults, whose ends are waited for by the clock.
AFTER_FAULTS: Mapping[str, Sequence[str]] = {
    "Flows of frameworks, and as it is installed": [
        "pytest",
        "--numprocesses=2",
        "-m",
        "not alone",
        "tests/bridges",
        f"--ignore={_OLDER}",
        "tests/acceptance/deployment",
    ],
}
FAULTS: Sequence[str] = ["pytest", "tests/faults"]
# Mistakes in a copy of the tree, one at a time, and who finds them: docs/planted-bugs.md. It takes minutes.
PLANTED: Sequence[str] = ["python", "-m", "tests.planted"]
# The real code in worlds from numbers, as many as are asked for; the usual run has the first 300.
WORLDS: Sequence[str] = ["python", "-m", "tests.simulation"]


def run(name: str, command: Sequence[str]) -> bool:
    """Run one check under a heading; tell whether it passed.

    If this process has to end, the check is interrupted, so that pytest takes its servers down.
    """
    with _start(command) as process:
        return _finish(name, process)


def run_everything(*options: str) -> bool:
    """Run all linters, and if they pass the tests, with these options; stop where tests fail."""
    with _start(LOWEST_ENVIRONMENT) as environment:
        results = [run(name, command) for name, command in LINTERS.items()]
        if not all(results) or not _finish("Oldest supported versions", environment):
            return False
    with _start(CREWAI_ENVIRONMENT) as environment:
        if not all(run(name, [*command, *options]) for name, command in {**LOWEST, **TESTS}.items()):
            return False
        if not _finish("crewAI and its packages", environment):
            return False
    log = _ROOT / ".local" / "faults.log"
    log.unlink(missing_ok=True)
    with _start([*FAULTS, *options], log=log) as faults:
        if not all(run(name, [*command, *options]) for name, command in BESIDE_FAULTS.items()):
            return False
        passed = _finish("Faults", faults)
    print(log.read_text(encoding="utf-8", errors="replace"), end="", flush=True)
    return passed and all(run(name, [*command, *options]) for name, command in AFTER_FAULTS.items())


def run_crewai(environment: str, arguments: Sequence[str]) -> bool:
    """Run the flows of crewAI, or of an older one, alone, with arguments for pytest; it is installed once."""
    [(name, command)] = (CREWAI if environment == "crewai" else CREWAI_OLDER).items()
    install = [*CREWAI_ENVIRONMENT[:-1], environment]
    return run("crewAI and its packages", install) and run(name, [*command, *arguments])


def _start(command: Sequence[str], *, log: Path | None = None) -> SupervisedProcess:
    program, *arguments = command
    ours = Path(sys.executable).parent / program
    command = [str(ours) if ours.exists() else program, *arguments]
    return SupervisedProcess(command, folder=_ROOT, log=log, stop_signal=signal.SIGINT)


def _finish(name: str, process: SupervisedProcess) -> bool:
    _say(f"{name} (after {time.monotonic() - _STARTED:.0f} s)")
    passed = process.wait() == 0
    if not passed:
        _say(f"{name}: failed", colour=31)
    return passed


def _say(text: str, *, colour: int = 36) -> None:
    is_plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    print(f"\n== {text}" if is_plain else f"\n\033[1;{colour}m== {text}\033[0m", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run everything, or only pytest with the arguments; return 0 if all is well, as shells count.

    `--long` alone runs everything, with those tests too that take long; with others it is for pytest.
    `--crewai` or `--crewai-older` comes first, and runs the flows of crewAI alone; `--planted` comes
    first, and plants bugs, all or those with the words that follow in their name; so does `--worlds`, and
    runs as many worlds as the number behind it says, from the one that a second number names.
    """
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        if arguments and arguments[0] in {"--crewai", "--crewai-older"}:
            passed = run_crewai(arguments[0].removeprefix("--"), arguments[1:])
        elif arguments and arguments[0] == "--planted":
            passed = run("Planted bugs", [*PLANTED, *arguments[1:]])
        elif arguments and arguments[0] == "--worlds":
            passed = run("Worlds", [*WORLDS, *arguments[1:]])
        elif set(arguments) <= {"--long"}:
            passed = run_everything(*arguments)
        else:
            passed = run("Tests", ["pytest", *arguments])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0 if passed else 1
