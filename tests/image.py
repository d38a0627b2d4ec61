"""What the tests' own image (see Dockerfile) lacks: tests that need it are left out there, by name."""

import os

import pytest

_IS_IMAGE = "TESTS_IN_IMAGE" in os.environ
_LEFT_OUT = "Left out in this image, which lacks "


def leave_out_without(tool: str) -> None:
    """Leave the test out if this is the image; `tool` completes "which lacks ..."."""
    if _IS_IMAGE:
        pytest.skip(f"{_LEFT_OUT}{tool}.")


def name_what_was_left_out(reporter: pytest.TerminalReporter) -> None:
    """Print the name of each test that was left out, and of what it needs."""
    reports = [report for report in reporter.stats.get("skipped", []) if _LEFT_OUT in str(report.longrepr)]
    if reports:
        reporter.section("left out in this image")
    for report in reports:
        _, _, need = str(report.longrepr[2]).partition(_LEFT_OUT)
        reporter.write_line(f"{report.nodeid}: needs {need}")
