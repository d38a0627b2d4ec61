"""Whether the installed packages are in the ranges that this project asks for."""

import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from packaging.requirements import Requirement
from packaging.version import Version

from tasks.findings import Finding

_DISTRIBUTION: Final = "master-flow-enrichment"
_LOOKED_AT: Final = ("celery", "kombu", "redis", "sqlalchemy", "psycopg", "pydantic", "cryptography")
_LEAST_PYTHON: Final = (3, 11)


def look_at_packages() -> list[Finding]:
    """Return whether Python and the packages fit."""
    try:
        lines = [*(requires(_DISTRIBUTION) or ()), *(requires("celery") or ())]
    except PackageNotFoundError:
        return [Finding("packages", "note", "This project is not installed", "run `pip install .` once")]
    wanted = [Requirement(line) for line in lines]
    installed = {name: found for name in _LOOKED_AT if (found := _version(name))}
    return [python_finding(sys.version_info[:2]), *package_findings(wanted, installed)]


def python_finding(python: tuple[int, ...]) -> Finding:
    """Return whether this Python, (3, 11) or so, is new enough."""
    if python >= _LEAST_PYTHON:
        return Finding("python")
    return Finding(
        "python", "problem", f"Python is {'.'.join(map(str, python))}", "install Python 3.11 or newer"
    )


def package_findings(wanted: list[Requirement], installed: dict[str, str]) -> list[Finding]:
    """Return one finding per installed package out of its range, or one that all is well."""
    wrong = [
        Finding(
            "packages",
            "problem",
            f"{need.name} is {installed[need.name]}, not {need.specifier}",
            f"run `pip install '{need.name}{need.specifier}'`",
        )
        for need in wanted
        if need.name in installed
        and not need.specifier.contains(Version(installed[need.name]), prereleases=True)
    ]
    return wrong or [Finding("packages")]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
