import json
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest


@pytest.fixture(scope="module")
def bom() -> Any:
    command = [sys.executable, "-m", "masterflow.scripts.maintenance.sbom"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout)


def test_it_names_what_is_installed_with_the_versions_that_are(bom: Any) -> None:
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    versions = {it["name"]: it["version"] for it in bom["components"]}
    for name in (
        "celery",
        "kombu",
        "redis",
        "sqlalchemy",
        "psycopg",
        "pydantic",
        "fastapi",
        "flower",
        "vine",
    ):
        assert versions[name] == version(name)
    assert "masterflow" not in versions
    assert bom["metadata"]["component"]["name"] == "masterflow"


def test_every_reference_leads_to_a_component(bom: Any) -> None:
    known = {it["bom-ref"] for it in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    named = {ref for it in bom["dependencies"] for ref in (it["ref"], *it["dependsOn"])}
    assert named == known
    assert len({it["bom-ref"] for it in bom["components"]}) == len(bom["components"])


def test_it_says_under_which_licences(bom: Any) -> None:
    assert sum("licenses" in it for it in bom["components"]) > len(bom["components"]) / 2
