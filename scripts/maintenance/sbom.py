"""Prints what this installation is made of as CycloneDX 1.5: `python -m masterflow.scripts.maintenance.sbom`.

It reads what is installed and asks nobody. Whatever knows CycloneDX can look it up in a list of known
vulnerabilities.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any, Final
from uuid import uuid4

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT: Final = "masterflow"
_MOST_LICENSE_CHARS: Final = 200

Bom = dict[str, Any]


def bill_of_materials() -> Bom:
    """Return the distribution and all installed ones that it needs, by whichever of its extras they come."""
    found: dict[str, Distribution] = {}
    needs: dict[str, list[str]] = {}
    waiting = [_ROOT]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = distribution(name)
        needs[name] = sorted({*_needed(found[name], every_extra=name == _ROOT)})
        waiting += needs[name]
    root, *others = sorted(found, key=lambda name: (name != _ROOT, name))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": _component(root, found[root], kind="application"),
        },
        "components": [_component(name, found[name], kind="library") for name in others],
        "dependencies": [
            {"ref": _purl(name, found[name]), "dependsOn": [_purl(it, found[it]) for it in needs[name]]}
            for name in sorted(found)
        ],
    }


def _needed(found: Distribution, *, every_extra: bool) -> Iterator[str]:
    """Give the names of what a distribution needs and is installed."""
    extras = found.metadata.get_all("Provides-Extra") or []
    for line in found.requires or ():
        need = Requirement(line)
        wanted = ["", *(extras if every_extra else [])]
        # An extra of somebody else's that is installed is needed by whoever asked for it.
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in wanted):
            continue
        name = canonicalize_name(need.name)
        if name != _ROOT and _is_installed(name):
            yield name


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _purl(name: str, found: Distribution) -> str:
    return f"pkg:pypi/{name}@{found.version}"


def _component(name: str, found: Distribution, *, kind: str) -> Bom:
    component: Bom = {
        "type": kind,
        "bom-ref": _purl(name, found),
        "name": name,
        "version": found.version,
        "purl": _purl(name, found),
    }
    texts = [found.metadata.get_all(name) or [""] for name in ("License-Expression", "License")]
    expression, text = (it[0].strip() for it in texts)
    if expression:
        component["licenses"] = [{"expression": expression}]
    elif text:
        # Some have the whole text there.
        component["licenses"] = [{"license": {"name": text.splitlines()[0][:_MOST_LICENSE_CHARS]}}]
    return component


if __name__ == "__main__":
    json.dump(bill_of_materials(), sys.stdout, indent=1)
    sys.stdout.write("\n")
