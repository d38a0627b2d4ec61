"""The traps of crewAI on this machine, each in a sentence: it is looked at by an interpreter of its own."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from masterflow.bridges import crewai as bridge
from masterflow.tasks.check_result import CheckResult

_PROBE: Final = Path(bridge.__file__).with_name("probe.py")
_TIMEOUT_S: Final = 120.0

#: What takes longer than this is worth knowing.
_SLOW_S: Final = 2.0

Found = dict[str, Any]

#: What the bridge does without where this crewAI is too old for it.
_WITHOUT: Final = {
    "failures": "a flow's failure is taken from its method's",
    "steps": "no flow can be stopped, and times are those of events",
    "usage": "tokens are not counted",
}


def check_crewai(python: str) -> list[CheckResult]:
    """Return what a program that this interpreter runs would meet in crewAI."""
    try:
        command = [python, "-c", _PROBE.read_text()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError) as error:
        return [
            _result("problem", f"{python} could not look at crewAI: {error}", "name a Python with --python")
        ]
    except subprocess.TimeoutExpired:
        return [
            _result(
                "problem", f"Importing crewAI takes more than {_TIMEOUT_S:.0f} s", "see what it waits for"
            )
        ]
    return crewai_results(found)


def crewai_results(found: Found) -> list[CheckResult]:
    """Return what a probe's findings mean, or one result that all is well."""
    versions = found["versions"]
    if "crewai" not in versions:
        return [_result("problem", "crewAI is not installed there", "run `pip install 'masterflow[crewai]'`")]
    if "import_error" in found:
        return [_import_failed(found["import_error"])]
    if not found["abilities"]["places"]:
        text = f"crewAI {versions['crewai']} does not say where its events belong"
        return [_result("problem", text, "install crewai 1.10.1 or newer")]
    return [*_settings(found), *_process(found), *_abilities(found)] or [CheckResult("crewai")]


def _import_failed(error: str) -> CheckResult:
    if error.startswith(("FileNotFoundError", "PermissionError", "OSError")):
        return _result(
            "problem",
            f"crewAI cannot be imported, as it makes folders in HOME: {error}",
            "let HOME name a folder that this user may write to",
        )
    return _result("problem", f"crewAI cannot be imported: {error}", "see that its packages fit each other")


def _settings(found: Found) -> Iterator[CheckResult]:
    if not found["is_version_check_off"]:
        text = "The first flow asks a package index for the newest version and waits for it for up to 2 s"
        yield _result("note", text, "set CREWAI_DISABLE_VERSION_CHECK=true")
    if taken := found["signals_taken"]:
        text = f"Importing crewAI replaces the handlers of {', '.join(taken)}, because its telemetry is on"
        yield _result("problem", text, "set CREWAI_DISABLE_TELEMETRY=true")
    elif not found["is_telemetry_off"]:
        text = "crewAI's telemetry is on and sends to its makers"
        yield _result("note", text, "set CREWAI_DISABLE_TELEMETRY=true if it is not meant to")
    if found["is_otel_off"]:
        text = "OTEL_SDK_DISABLED switches your own tracing off as well as crewAI's"
        yield _result("note", text, "set CREWAI_DISABLE_TELEMETRY=true instead")


def _process(found: Found) -> Iterator[CheckResult]:
    if found["starts_by"] == "fork":
        text = "A process that is forked after its parent's first flow hangs in its own first kickoff"
        advice = "start workers by spawn, as threads or with the solo pool, or run no flow before the fork"
        yield _result("note", text, advice)
    if found["import_s"] > _SLOW_S:
        text = f"Importing crewAI takes {found['import_s']:.1f} s and {found['import_mb']:.0f} MB"
        yield _result("note", text, "import it only in the processes that run flows, and before they serve")
    if found["first_flow_s"] > _SLOW_S:
        text = (
            f"The first flow that is constructed takes {found['first_flow_s']:.1f} s, mostly for its memory"
        )
        yield _result("note", text, "construct one while the process starts, or pass it a memory")


def _abilities(found: Found) -> Iterator[CheckResult]:
    missing = [text for name, text in _WITHOUT.items() if not found["abilities"][name]]
    if missing:
        which = found["versions"]["crewai"]
        text = f"crewAI {which} is older than what the bridge can use: {'; '.join(missing)}"
        yield _result("note", text, "install a newer crewai")


def _result(level: Any, found: str, advice: str) -> CheckResult:
    return CheckResult("crewai", level, found, advice)
