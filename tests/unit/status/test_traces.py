import pytest

from masterflow.domain import SettingsInvalid
from masterflow.status.page.entries import activity_entries, error_entries
from masterflow.status.settings import StatusSettings

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
URL = "https://traces.example/trace/{trace_id}?at=1"
LINK = f"https://traces.example/trace/{TRACE_ID}?at=1"


def test_what_was_reported_in_a_trace_links_to_it() -> None:
    [error] = error_entries([{"error": "no", "details": {"trace_id": TRACE_ID}}], URL)
    [activity] = activity_entries([{"agent": "a", "trace_id": TRACE_ID}], URL)
    assert (error.trace, activity.trace) == (LINK, LINK)


@pytest.mark.parametrize("trace_id", [None, 7, "", "javascript:alert(1)", TRACE_ID.upper(), f"{TRACE_ID}/.."])
def test_what_is_no_trace_links_nowhere(trace_id: object) -> None:
    [activity] = activity_entries([{"agent": "a", "trace_id": trace_id}], URL)
    assert activity.trace == ""


def test_without_an_address_nothing_is_linked() -> None:
    assert activity_entries([{"agent": "a", "trace_id": TRACE_ID}])[0].trace == ""


@pytest.mark.parametrize("url", ["https://traces.example/", "ftp://a/{trace_id}", "javascript:{trace_id}"])
def test_an_address_without_a_trace_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENRICHMENT_JWT_KEY", "x" * 32)
    monkeypatch.setenv("ENRICHMENT_TRACE_URL", url)
    with pytest.raises(SettingsInvalid, match="ENRICHMENT_TRACE_URL"):
        StatusSettings()
