"""The pytest plug-in that the package registers; it loads nothing until a test asks for its fixture."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from masterflow.tracker.testing import FlowReports


@pytest.fixture
def flow_reports(monkeypatch: pytest.MonkeyPatch) -> "Iterator[FlowReports]":
    """What the code under test reports of its flows, in order; nothing reaches the disk or the network."""
    # For processes that the test starts.
    monkeypatch.setenv("ENRICHMENT_OUTBOX", "off")
    with import_module("masterflow.tracker.testing").flow_reports() as reports:
        yield reports
