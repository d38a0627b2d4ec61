"""The phases of the discovery flow: each returns its heavy results, and lets its agents report the rest."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import asdict, replace
from typing import Any, Final

from masterflow.domain import PermanentError, TransientError
from masterflow.scripts.sample_flow import dependencies, inventory, strategy, tech_debt, validation
from masterflow.scripts.sample_flow.cleansing import Server, cleanse
from masterflow.scripts.sample_flow.csv_file import read_table
from masterflow.scripts.sample_flow.discovery import Discovery, Scenario
from masterflow.scripts.sample_flow.fields import columns_of, match_headers

Results = dict[str, Any]

#: Returns None when the phase waits for an answer that does not come.
PhaseFunction = Callable[[Discovery], Coroutine[Any, Any, Results | None]]


#: By which people's approval is asked for, and found again.
APPROVAL_KEY: Final = "field_mapping_approval"


class MappingsRejected(PermanentError):
    """Somebody does not approve of the field mappings."""


class ReferenceDataUnavailable(TransientError):
    """The service that knows units and names does not answer; another attempt may succeed."""


async def initialization(flow: Discovery) -> Results:
    """Note what the flow is about to do."""
    await asyncio.sleep(flow.rest_s)
    return {"file": flow.csv_path.name, "scenario": flow.scenario.value, "started_on": flow.today.isoformat()}


async def data_import(flow: Discovery) -> Results:
    """Read the file."""
    importer = flow.agent("Import Specialist")
    flow.table = await importer.do(read_table, flow.csv_path)
    await importer.report("read the file", items=len(flow.table.rows), columns=len(flow.table.headers))
    await asyncio.sleep(flow.rest_s)
    return {
        "headers": flow.table.headers,
        "encoding": flow.table.encoding,
        "delimiter": flow.table.delimiter,
        "records": [row.cells for row in flow.table.rows],
    }


async def data_validation(flow: Discovery) -> Results:
    """Set aside the rows that cannot be trusted; if that is every row, the flow fails.

    Only columns of a sure meaning are looked at, and one that nearly never holds what its header says is not.
    """
    analyst = flow.agent("Data Quality Analyst")
    flow.columns = columns_of(await analyst.do(match_headers, flow.table.headers))
    validation.require_columns(flow.csv_path, flow.columns)
    flow.issues = await analyst.do(validation.find_issues, flow.table, flow.columns)
    flawed = {issue.line for issue in flow.issues}
    kinds = Counter(issue.column or "row" for issue in flow.issues)
    processed = len(flow.table.rows)
    await analyst.report("checked every row", items=processed, flawed=len(flawed), issues=dict(kinds))
    validation.require_rows(flow.csv_path, flow.table, flow.issues)
    await asyncio.sleep(flow.rest_s)
    return {
        "issues": [asdict(issue) for issue in flow.issues],
        "columns_not_read": flow.table.notation.unreadable,
        "records_processed": processed,
        "records_valid": processed - len(flawed),
        "records_failed": len(flawed),
    }


async def field_mapping_generation(flow: Discovery) -> Results:
    """Propose which column means which field."""
    expert = flow.agent("Schema Expert")
    flow.mappings = [
        replace(mapping, field=None, confidence=0.0)
        if mapping.header in flow.table.notation.unreadable
        else mapping
        for mapping in await expert.do(match_headers, flow.table.headers)
    ]
    unmapped = [mapping.header for mapping in flow.mappings if mapping.field is None]
    sure = [mapping.confidence for mapping in flow.mappings if mapping.field]
    confidence = round(sum(sure) / len(sure), 3)
    await expert.report(
        "proposed field mappings", items=len(flow.mappings), flawed=len(unmapped), unmapped=unmapped
    )
    await asyncio.sleep(flow.rest_s)
    mappings = {mapping.header: mapping.field for mapping in flow.mappings if mapping.field}
    return {"mappings": mappings, "unmapped_fields": unmapped, "confidence": confidence}


async def field_mapping_approval(flow: Discovery) -> Results | None:
    """Wait until somebody approves the mappings; None when nobody does for now."""
    proposed = len(columns_of(flow.mappings))
    if flow.on_asked:
        return await _approval_by_people(flow, proposed)
    await flow.tracker.pause_for_user_input(f"{proposed} field mappings need approval")
    approved_by = await flow.approver(flow.mappings)
    if approved_by is None:
        return None
    await flow.tracker.resume_after_user_input(f"Approved by {approved_by}")
    flow.columns = columns_of(flow.mappings)
    return {"approved_by": approved_by, "approved_mappings": proposed}


async def _approval_by_people(flow: Discovery, proposed: int) -> Results:
    """Ask people, on page, over HTTP or in the terminal.

    Raises:
        MappingsRejected: somebody does not approve.
    """
    question = flow.tracker.ask(
        f"{proposed} field mappings are proposed. Approve them?",
        options=["approve", "reject"],
        key=APPROVAL_KEY,
    )
    if flow.on_asked:
        flow.on_asked()
    if await question == "reject":
        raise MappingsRejected("The field mappings were rejected.")
    flow.columns = columns_of(flow.mappings)
    return {"approved_mappings": proposed}


async def data_cleansing(flow: Discovery) -> Results:
    """Write every trusted row in the same way.

    Raises:
        ReferenceDataUnavailable: in the scenario `retry`, the first time.
    """
    specialist = flow.agent("Data Cleansing Specialist")
    flow.cleansing_attempts += 1
    if flow.scenario is Scenario.RETRY and flow.cleansing_attempts == 1:
        # The password shows that secrets in an error's text never reach the row.
        raise ReferenceDataUnavailable(
            "No answer from postgresql://cleansing:not-a-secret@refdata.example/units."
        )
    untrusted = {issue.line for issue in flow.issues}
    trusted = [row for row in flow.table.rows if row.line not in untrusted]
    flow.servers = []
    async for rows in flow.batches(trusted):
        flow.servers += await specialist.do(list, (cleanse(row, flow.columns) for row in rows))
    await specialist.report("wrote all rows alike", items=len(flow.servers), set_aside=len(untrusted))
    return {"cleaned_data": [asdict(server) for server in flow.servers]}


async def asset_inventory(flow: Discovery) -> Results:
    """Sort the servers into kinds of assets."""
    expert = flow.agent("Asset Inventory Expert")
    kinds: dict[str, str] = {}
    async for servers in flow.batches(flow.servers):
        sorted_servers = ((server.hostname, inventory.classify(server)) for server in servers)
        kinds |= await expert.do(dict, sorted_servers)
    totals = inventory.summarize(flow.servers)
    await expert.report("sorted the servers", items=len(kinds), by_kind=totals["by_kind"])
    assets = [{"hostname": hostname, "kind": kind} for hostname, kind in kinds.items()]
    return {"assets": assets, **totals}


async def dependency_analysis(flow: Discovery) -> Results:
    """Find what depends on what, in circles too, and on servers that nobody listed."""
    analyst = flow.agent("Dependency Analyst")
    flow.graph = graph = await analyst.do(dependencies.build_graph, flow.servers)
    edges = sum(len(targets) for targets in graph.edges.values())
    await analyst.report(
        "drew the dependencies", items=edges, flawed=len(graph.cycles), unknown=len(graph.unknown)
    )
    await asyncio.sleep(flow.rest_s)
    most_used = dict(Counter(graph.dependents).most_common(10))
    return {"edges": graph.edges, "cycles": graph.cycles, "unknown": graph.unknown, "most_used": most_used}


async def tech_debt_assessment(flow: Discovery) -> Results:
    """Score what is out of support or badly patched."""
    assessor = flow.agent("Tech Debt Assessor")
    async for servers in flow.batches(flow.servers):
        scored = ((server.hostname, tech_debt.assess(server, today=flow.today)) for server in servers)
        flow.debts |= await assessor.do(dict, scored)
    indebted = {name: asdict(debt) for name, debt in flow.debts.items() if debt.score}
    out_of_support = sum(debt.is_out_of_support for debt in flow.debts.values())
    await assessor.report(
        "scored the debt", items=len(flow.debts), indebted=len(indebted), out_of_support=out_of_support
    )
    return {"debts": indebted, "out_of_support": out_of_support}


async def sixr_strategy(flow: Discovery) -> Results:
    """Choose a way into the cloud for each server."""
    strategist = flow.agent("Migration Strategist")

    def choose(server: Server) -> tuple[str, str]:
        return strategy.choose(
            server, flow.debts[server.hostname], dependents=flow.graph.dependents[server.hostname]
        )

    async for servers in flow.batches(flow.servers):
        flow.strategies |= await strategist.do(
            dict, ((server.hostname, choose(server)) for server in servers)
        )
    by_strategy = dict(Counter(name for name, _ in flow.strategies.values()).most_common())
    await strategist.report("chose the strategies", items=len(flow.strategies), by_strategy=by_strategy)
    return {"strategies": flow.strategies, "by_strategy": by_strategy}


async def finalization(flow: Discovery) -> Results:
    """Sum up."""
    await asyncio.sleep(flow.rest_s)
    return {
        "servers": len(flow.servers),
        "issues": len(flow.issues),
        "cycles": len(flow.graph.cycles),
        "by_strategy": dict(Counter(name for name, _ in flow.strategies.values())),
    }


#: In the order of `masterflow.domain.phases`; each function is called like its phase.
PHASE_FUNCTIONS: Final[tuple[PhaseFunction, ...]] = (
    initialization,
    data_import,
    data_validation,
    field_mapping_generation,
    field_mapping_approval,
    data_cleansing,
    asset_inventory,
    dependency_analysis,
    tech_debt_assessment,
    sixr_strategy,
    finalization,
)
