import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/add-a-flow-type.md").read_text()

#: What somebody does who follows the page, in a process that knows the new type.
FOLLOW = """
import asyncio, json, re, sys
from uuid import UUID

from sqlalchemy import text

from masterflow.domain.phases import phase_order
from masterflow.domain.tenant import flow_context
from masterflow.repository.backfill.reads import Scope, find_behind
from masterflow.repository.database import DatabaseSettings, make_engine, session_factory
from masterflow.repository.master_flow import CrewAIFlowStateExtensionsRepository
from masterflow.status.manager import FlowStatusManager
from masterflow.tasks.backfill.catch_up import BackfillOptions, catch_up

async def main(*statements):
    engine = make_engine(DatabaseSettings())
    sessions = session_factory(engine)
    flow_id, *tenant = map(UUID, re.findall("'([0-9a-f-]{36})'", statements[-1]))
    async with sessions.begin() as session:
        for statement in statements:
            await (await session.connection()).exec_driver_sql(statement)
        masters = CrewAIFlowStateExtensionsRepository(session, *tenant, "ann")
        await masters.create_master_flow(flow_id, "patching")
    async with sessions() as session:
        behind = (await find_behind(session, Scope())).behind
    await catch_up(sessions, behind, Scope(), BackfillOptions())
    async with sessions() as session:
        query = "select flow_metadata from migration.crewai_flow_state_extensions"
        metadata = await session.scalar(text(query))
        shown = await FlowStatusManager(session, flow_context(*tenant, "ann")).get_flow_status(flow_id, True)
    assert shown.progress_percentage == shown.child_flow_status.progress_percentage == 50, shown
    assert shown.current_phase == "rollout", shown
    assert phase_order("Ring 0", "patching") == 1
    snapshot = metadata["progress_snapshot"]
    told = {"phase_transitions": metadata["phase_transitions"]}
    print(json.dumps(told | {name: snapshot[name] for name in ("progress_percentage", "evidence")}))
    await engine.dispose()

asyncio.run(main(*json.load(sys.stdin)))
"""


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", PAGE, re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def test_the_page_on_a_new_type_of_flow_does_what_it_says(tmp_path: Path, database_url: str) -> None:
    [specification] = blocks("python")
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "masterflow", tmp_path / "masterflow", ignore=skipped)
    types = tmp_path / "masterflow/domain/flow_types"
    (types / "patching.py").write_text(specification)
    catalog = (types / "catalog.py").read_text()
    for diff in blocks("diff"):
        before = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] != "+")
        assert catalog.count(before) == 1
        catalog = catalog.replace(before, re.sub("^.", "", diff, flags=re.MULTILINE))
    (types / "catalog.py").write_text(catalog)
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path), "DATABASE_URL": database_url},
        input=json.dumps(blocks("sql")), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(blocks("json")[0])


def test_the_page_on_a_new_type_of_flow_names_files_that_are_there() -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", PAGE)
    assert len(named) > 2
    assert [name for name in named if not (ROOT / name).exists()] == []
