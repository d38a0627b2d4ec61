import sys
from typing import Any

import pytest

from masterflow.bridges.crewai.probe import probe
from masterflow.scripts.doctor.crewai import check_crewai, crewai_results

WELL: dict[str, Any] = {
    "python": [3, 12],
    "versions": {"crewai": "1.15.30", "pydantic": "2.12.5"},
    "is_telemetry_off": True,
    "is_version_check_off": True,
    "is_otel_off": False,
    "starts_by": "spawn",
    "import_s": 1.0,
    "import_mb": 200.0,
    "signals_taken": [],
    "abilities": {"places": True, "failures": True, "steps": True, "usage": True},
    "first_flow_s": 1.0,
}
OLD = {"places": True, "failures": False, "steps": False, "usage": False}

TRAPS: dict[str, tuple[dict[str, Any], str, str]] = {
    "not there": ({"versions": {}}, "problem", "crewAI is not installed there; run `pip install"),
    "HOME": (
        {"import_error": "FileNotFoundError: '/proc/.local'"},
        "problem",
        "crewAI cannot be imported, as it makes folders in HOME: FileNotFoundError: '/proc/.local'; let HOME",
    ),
    "packages": (
        {"import_error": "ImportError: pydantic"},
        "problem",
        "crewAI cannot be imported: ImportError",
    ),
    "too old": ({"abilities": {"places": False}}, "problem", "crewAI 1.15.30 does not say where its events"),
    "version check": ({"is_version_check_off": False}, "note", "The first flow asks a package index"),
    "signals": (
        {"signals_taken": ["SIGTERM"]},
        "problem",
        "Importing crewAI replaces the handlers of SIGTERM",
    ),
    "telemetry": ({"is_telemetry_off": False}, "note", "crewAI's telemetry is on"),
    "own tracing": ({"is_otel_off": True}, "note", "OTEL_SDK_DISABLED switches your own tracing off"),
    "fork": ({"starts_by": "fork"}, "note", "A process that is forked after its parent's first flow hangs"),
    "import": ({"import_s": 4.2}, "note", "Importing crewAI takes 4.2 s and 200 MB"),
    "first flow": ({"first_flow_s": 2.6}, "note", "The first flow that is constructed takes 2.6 s"),
    "abilities": (
        {"abilities": OLD},
        "note",
        "crewAI 1.15.30 is older than what the bridge can use: a flow's",
    ),
}


def test_where_all_is_well_nothing_is_said():
    [result] = crewai_results(WELL)
    assert (result.name, result.level) == ("crewai", "well")


@pytest.mark.parametrize("trap", TRAPS)
def test_each_trap_is_one_sentence_that_says_what_to_do(trap):
    change, level, begins = TRAPS[trap]
    [result] = crewai_results(WELL | change)
    assert result.level == level
    assert result.sentence.startswith(begins)
    assert result.found
    assert result.advice
    assert result.sentence.endswith(".")


def test_a_python_without_crewai_hears_that_it_is_not_there():
    [result] = check_crewai(sys.executable)
    assert result.found == "crewAI is not installed there"
    assert probe()["versions"]["pydantic"]


def test_a_python_that_is_none_is_named():
    [result] = check_crewai("/nowhere/python")
    assert result.level == "problem"
    assert "/nowhere/python could not look at crewAI" in result.sentence
