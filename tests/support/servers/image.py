"""What the tests' own image (see Dockerfile), or a machine, may lack: what needs it is left out by name."""

import os
import re
from collections import defaultdict

import pytest

_IS_IMAGE = "TESTS_IN_IMAGE" in os.environ
_PLACE = "in this image" if _IS_IMAGE else "on this machine"
_LEFT_OUT = re.compile(r"Left out (in this image|on this machine), which lacks (.*)")


def leave_out_without(tool: str) -> None:
    """Leave the test out if this is the image; `tool` completes "which lacks ..."."""
    if _IS_IMAGE:
        leave_out(tool)


def leave_out(tool: str) -> None:
    """Leave the test out, in CI too: for the few tools that a test cannot bring along."""
    pytest.skip(f"Left out {_PLACE}, which lacks {tool}.")


def name_what_was_left_out(reporter: pytest.TerminalReporter) -> None:
    """Print the name of each test that was left out, and of what it needs."""
    left_out = defaultdict(list)
    for report in reporter.stats.get("skipped", []):
        if found := _LEFT_OUT.search(str(report.longrepr[2])):
            left_out[found[1]].append(f"{report.nodeid}: needs {found[2]}")
    for place, lines in left_out.items():
        reporter.section(f"left out {place}")
        for line in lines:
            reporter.write_line(line)
