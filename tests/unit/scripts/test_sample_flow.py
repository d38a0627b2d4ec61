import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ErrorOccurred,
    FlowRetried,
    MemoryMeasured,
    PhaseTimed,
)
from masterflow.domain.phases import PHASES
from masterflow.scripts.sample_flow import SERVERS_CSV, CsvInvalid, Scenario, check_csv, run_flow
from masterflow.scripts.sample_flow.__main__ import app
from masterflow.scripts.sample_flow.phases import PHASE_FUNCTIONS, MappingsRejected
from tests.support.events.reported import CONTEXT, FLOW_ID


class Kept(dict[str, Mapping[str, Any]]):
    async def save(self, phase, data, *, completed, duration_ms) -> None:
        assert completed
        assert duration_ms >= 0
        self[phase] = data


def csv_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "servers.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


async def run(path, scenario=Scenario.WELL, **options):
    kept = Kept()
    outcome = await run_flow(CONTEXT, FLOW_ID, path, scenario, kept, rest_s=0, **options)
    return outcome, kept


def test_the_phases_are_the_canonical_ones_in_their_order():
    assert tuple(function.__name__ for function in PHASE_FUNCTIONS) == PHASES


async def test_a_flow_that_goes_well_tells_every_phase_and_completes(told):
    shown = []
    outcome, kept = await run(SERVERS_CSV, on_progress=lambda phase, percent: shown.append(percent))
    for phase in PHASES:
        assert {f"{phase}:processing", f"{phase}:completed"} <= set(told.transitions)
    assert Counter(event.phase for event in told.of(PhaseTimed)) == Counter(PHASES)
    assert told.statuses == ["processing", "waiting_for_approval", "processing", "completed"]
    assert (outcome.status, outcome.rows, outcome.issues, outcome.servers) == ("completed", 500, 31, 469)
    assert sum(outcome.by_strategy.values()) == outcome.servers
    assert tuple(kept) == PHASES
    assert shown == [*range(0, 101, 10), 100]
    assert told.of(MemoryMeasured)
    performance = {name for event in told.of(AgentPerformanceMeasured) for name in event.metrics}
    assert {"Schema Expert", "Data Cleansing Specialist"} <= performance
    assert performance == {event.entry["agent"] for event in told.of(AgentCollaborated)}


async def test_the_heavy_results_stay_out_of_what_the_master_is_told(told):
    await run(SERVERS_CSV)
    told_text = "".join(event.model_dump_json() for event in told)
    assert "bil-web-prd-01" not in told_text
    assert max(len(event.model_dump_json()) for event in told) < 2_000


async def test_cleansing_that_fails_is_told_masked_and_retried(told):
    outcome, _ = await run(SERVERS_CSV, Scenario.RETRY)
    assert outcome.status == "completed"
    [error] = told.of(ErrorOccurred)
    assert error.phase == "data_cleansing"
    assert "not-a-secret" not in "".join(event.model_dump_json() for event in told)
    assert len(told.of(FlowRetried)) == 1
    cleansing = [step.partition(":")[2] for step in told.transitions if step.startswith("data_cleansing")]
    assert cleansing == ["processing", "failed", "processing", "completed"]


async def test_without_an_approval_the_flow_stays_waiting(told):
    outcome, kept = await run(SERVERS_CSV, Scenario.APPROVAL)
    assert outcome.status == "waiting_for_approval"
    assert told.statuses[-1] == "waiting_for_approval"
    assert told.transitions[-1] == "field_mapping_approval:paused"
    assert tuple(kept) == PHASES[:4]


async def test_people_are_asked_for_the_approval_and_the_flow_runs_on(told):
    asked = []
    told.answer("field_mapping_approval", "approve")
    outcome, kept = await run(SERVERS_CSV, Scenario.APPROVAL, on_asked=lambda: asked.append(True))
    assert (outcome.status, asked) == ("completed", [True])
    assert kept["field_mapping_approval"]["approved_mappings"] == 16
    assert told.statuses == ["processing", "waiting_for_approval", "processing", "completed"]


async def test_a_flow_whose_mappings_are_rejected_fails(told):
    told.answer("field_mapping_approval", "reject")
    with pytest.raises(MappingsRejected):
        await run(SERVERS_CSV, Scenario.APPROVAL, on_asked=lambda: None)
    assert told.statuses[-1] == "failed"
    assert told.errors == [("field_mapping_approval", "The field mappings were rejected.")]


async def test_who_approves_sees_the_mappings(told):
    seen = []

    async def approve(mappings):
        seen.extend(mappings)
        return "Ann"

    outcome, kept = await run(SERVERS_CSV, approver=approve)
    assert outcome.status == "completed"
    assert kept["field_mapping_approval"]["approved_by"] == "Ann"
    assert {mapping.header for mapping in seen if mapping.field is None} == {"Asset Tag"}


async def test_a_file_that_cannot_be_used_fails_the_flow_and_is_raised(told, tmp_path):
    with pytest.raises(CsvInvalid):
        await run(csv_file(tmp_path, "Colour,Shape\nred,round\n"))
    assert told.statuses == ["processing", "failed"]
    assert len(told.of(ErrorOccurred)) == 1


async def test_a_flow_that_sets_every_row_aside_fails_and_says_why(told, tmp_path):
    path = csv_file(tmp_path, "Host,OS,CPU\na,Linux,lots\nb,,2\n")
    with pytest.raises(
        CsvInvalid, match="has no row that can be used: line 2 'CPU' 'lots' is no whole number"
    ):
        await run(path)
    assert told.statuses == ["processing", "failed"]
    [error] = told.of(ErrorOccurred)
    assert error.phase == "data_validation"
    assert "no row that can be used" in error.error


async def test_what_is_left_out_is_told_in_words(told, tmp_path):
    rows = "".join(f"s{n},Linux,installed,4\n" for n in range(3))
    path = csv_file(tmp_path, f"Host,OS,Install Date,CPU\n{rows}s3,Linux,,lots\n")
    assert check_csv(path) == (
        "Of 4 rows 1 are set aside: line 5 'CPU' 'lots' is no whole number above zero.",
        "Column 'Install Date' is not read: 'installed' is no date.",
    )
    _, kept = await run(path)
    assert kept["data_validation"]["columns_not_read"] == {"Install Date": "'installed' is no date"}
    assert kept["field_mapping_generation"]["unmapped_fields"] == ["Install Date"]


async def test_a_small_file_of_another_dialect_goes_through(told, tmp_path):
    path = csv_file(
        tmp_path, "\ufeffHost;OS;Memory;Depends On\r\nDB-1.corp;RHEL 7.9;0.5 TB;\r\nweb-1;;8;\r\n"
    )
    outcome, kept = await run(path)
    assert (outcome.rows, outcome.servers, outcome.issues) == (2, 1, 1)
    [server] = kept["data_cleansing"]["cleaned_data"]
    assert server["hostname"] == "db-1"
    assert server["operating_system"] == "Red Hat Enterprise Linux 7.9"
    assert server["ram_gb"] == 512


def test_without_a_database_the_command_says_what_to_set():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert re.fullmatch(r"Set DATABASE_URL to .+\.\n", result.stderr)
