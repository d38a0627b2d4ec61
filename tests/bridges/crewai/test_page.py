"""The program on the page about crewAI, run as it stands there."""

from masterflow.bridges import crewai as bridge
from tests.bridges.crewai.flows_seen import transitions
from tests.support.eventually import eventually
from tests.support.pages import ROOT, examples


def test_the_program_on_the_page_fills_its_row(application, tmp_path):
    [program] = examples("docs/crewai.md")
    (tmp_path / "crew_app.py").write_text(program)
    assert application.run_file(tmp_path / "crew_app.py").splitlines()[-1] == "2"
    query = "select flow_id from migration.crewai_flow_state_extensions where flow_name = 'Discovery'"
    with application.place.database() as database:
        [found] = eventually(lambda: database.execute(query).fetchall())
    row = eventually(lambda: finished(application.place.row(found["flow_id"])))
    assert transitions(row) == ["read:processing", "read:completed", "check:processing", "check:completed"]


def finished(row):
    return row if row["flow_status"] == "completed" else None


def test_the_page_names_every_word_that_the_bridge_gives():
    page = (ROOT / "docs" / "crewai.md").read_text()
    assert [name for name in bridge.__all__ if f"{name}(" not in page] == []


def test_nothing_of_ours_loads_crewai_before_it_is_asked_to(application):
    program = (
        "import sys, masterflow; from masterflow.bridges import crewai; "
        "[getattr(masterflow, name) for name in masterflow.__all__ if 'router' not in name]; "
        "print('crewai' in sys.modules, callable(crewai.install))"
    )
    assert application.say("-c", program).split() == ["False", "True"]
