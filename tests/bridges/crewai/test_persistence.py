"""What crewAI saves by `@persist`, in the rows of flows that begin in one process and go on in the next."""

import json
from typing import Any
from uuid import uuid4

import pytest

pytestmark = pytest.mark.timeout(240)

COUNTED, PROPOSED, LOOSE = str(uuid4()), str(uuid4()), "ext-77"

FIRST = {
    "counting": COUNTED, "loose": LOOSE, "proposed": PROPOSED, "still pending": PROPOSED,
    "broken": "", "broken strictly": "",
}  # fmt: skip
NEXT = {"another tenant": COUNTED, "counting": COUNTED, "approved": PROPOSED, "still pending": PROPOSED}

Seen = dict[str, Any]


def run(application: Any, scenarios: dict[str, str]) -> Seen:
    said = application.say("-m", "tests.bridges.crewai.persisted", json.dumps(list(scenarios.items())))
    return dict(zip(scenarios, json.loads(said), strict=True))


@pytest.fixture(scope="module")
def first(application) -> Seen:
    seen = run(application, FIRST)
    return seen | {"rows": {one: application.row(one) for one in (COUNTED, PROPOSED, LOOSE)}}


@pytest.fixture(scope="module")
def later(application, first) -> Seen:
    return run(application, NEXT)


def test_a_state_is_kept_with_its_phase_and_comes_back_in_another_process(first, later):
    assert first["counting"]["result"] == "11"
    saved = first["rows"][COUNTED]["flow_persistence_data"]
    assert saved["current_phase"] == "check"
    assert saved["crewai"]["state"]["count"] == 11
    again = later["counting"]
    assert again["result"] == "22"
    # Names that the row has uses for are the user's own in a state.
    assert (again["state"]["status"], again["state"]["current_phase"]) == ("of the user", "of the user, too")


def test_a_state_without_a_model_and_an_id_that_is_no_uuid_are_kept_too(first):
    rows = [{"host": "ä"}]
    assert first["loose"]["state"]["rows"] == rows
    assert first["rows"][LOOSE]["flow_persistence_data"]["crewai"]["state"]["rows"] == rows


def test_what_waits_for_feedback_goes_on_in_another_process_and_waits_no_more(first, later):
    assert first["still pending"]
    assert first["rows"][PROPOSED]["flow_persistence_data"]["current_phase"] == "propose"
    assert later["approved"]["result"] == "12 applied: yes"
    assert not later["still pending"]


def test_a_save_that_fails_fails_no_flow_unless_it_is_strict(first):
    assert first["broken"]["result"] == 7
    assert first["broken"]["lost"]["state"] >= 1
    assert first["broken strictly"]["result"] == "RuntimeError"


def test_no_tenant_goes_on_from_the_state_of_another(later):
    assert later["another tenant"]["own"]["result"] == "11"
    assert later["another tenant"]["stolen"] == "TenantMismatch"
