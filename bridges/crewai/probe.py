"""Looks at crewAI as a process of the user's would find it, and prints what it found as JSON.

It is run as a program by the interpreter to look at, and so imports nothing of ours.
"""

import importlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGTSTP", "SIGCONT")
_TRUE = ("1", "true", "yes")


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in _TRUE


def _handlers() -> dict[str, Any]:
    return {name: signal.getsignal(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _has(module: str, *path: str) -> bool:
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        return False
    for name in path:
        found = getattr(found, name, None)
    return found is not None


def _versions() -> dict[str, str]:
    found = {}
    for name in ("crewai", "pydantic", "masterflow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _abilities() -> dict[str, bool]:
    base = importlib.import_module("crewai.events.base_events").BaseEvent
    return {
        "places": "emission_sequence" in base.model_fields,
        "failures": _has("crewai.events.types.flow_events", "FlowFailedEvent"),
        "steps": _has("crewai.hooks", "InterceptionPoint", "PRE_STEP"),
        "usage": "usage"
        in importlib.import_module("crewai.events.types.llm_events").LLMCallCompletedEvent.model_fields,
    }


def _first_flow_s() -> float:
    module = importlib.import_module("crewai.flow.flow")
    flow = type("Probe", (module.Flow,), {"begin": module.start()(lambda _self: None)})
    begun = time.monotonic()
    flow()
    return time.monotonic() - begun


def probe() -> dict[str, Any]:
    """Return what there is, what importing it does, and what its events can say."""
    found: dict[str, Any] = {
        "python": list(sys.version_info[:2]),
        "versions": _versions(),
        "is_telemetry_off": _is_set("CREWAI_DISABLE_TELEMETRY"),
        "is_version_check_off": _is_set("CREWAI_DISABLE_VERSION_CHECK") or _is_set("CI"),
        "is_otel_off": _is_set("OTEL_SDK_DISABLED"),
        "starts_by": multiprocessing.get_start_method(),
    }
    if "crewai" not in found["versions"]:
        return found
    before, memory_mb, begun = _handlers(), _memory_mb(), time.monotonic()
    try:
        importlib.import_module("crewai")
        importlib.import_module("crewai.flow.flow")
    except BaseException as error:  # noqa: BLE001  whatever a user's program would meet
        return found | {"import_error": f"{type(error).__name__}: {error}"[:300]}
    found["import_s"] = time.monotonic() - begun
    found["import_mb"] = _memory_mb() - memory_mb
    found["signals_taken"] = [name for name, was in before.items() if _handlers()[name] is not was]
    found["abilities"] = _abilities()
    found["first_flow_s"] = _first_flow_s()
    return found


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(probe()) + "\n")
    sys.stdout.flush()
    os._exit(0)  # Threads of crewAI's telemetry may wait for the network.
