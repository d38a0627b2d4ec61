"""Whether the installed packages are in the ranges that this project asks for."""

import sys
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Final

from packaging.requirements import Requirement
from packaging.version import Version

from masterflow.tasks.check_result import CheckResult

_DISTRIBUTION: Final = "masterflow"
_LOOKED_AT: Final = ("celery", "kombu", "redis", "sqlalchemy", "psycopg", "pydantic", "cryptography")
_EXTRAS: Final = ("database", "cli", "status")
_LEAST_PYTHON: Final = (3, 11)


def check_packages() -> list[CheckResult]:
    """Return whether Python and the packages fit."""
    # Beside an API or an orchestrator the Celery of a worker is not asked for.
    extras = [*_EXTRAS, *(["worker"] if _version("flower") else [])]
    try:
        wanted = [*_wanted(_DISTRIBUTION, *extras), *_wanted("celery")]
    except PackageNotFoundError:
        return [CheckResult("packages", "note", "This project is not installed", "run `pip install .` once")]
    installed = {name: found for name in _LOOKED_AT if (found := _version(name))}
    return [python_result(sys.version_info[:2]), *package_results(wanted, installed)]


def python_result(python: tuple[int, ...]) -> CheckResult:
    """Return whether this Python, (3, 11) or so, is new enough."""
    if python >= _LEAST_PYTHON:
        return CheckResult("python")
    return CheckResult(
        "python", "problem", f"Python is {'.'.join(map(str, python))}", "install Python 3.11 or newer"
    )


def package_results(wanted: list[Requirement], installed: dict[str, str]) -> list[CheckResult]:
    """Return one result per installed package out of its range, or one that all is well."""
    wrong = [
        CheckResult(
            "packages",
            "problem",
            f"{need.name} is {installed[need.name]}, not {need.specifier}",
            f"run `pip install '{need.name}{need.specifier}'`",
        )
        for need in wanted
        if need.name in installed
        and not need.specifier.contains(Version(installed[need.name]), prereleases=True)
    ]
    return wrong or [CheckResult("packages")]


def _wanted(distribution: str, *extras: str) -> list[Requirement]:
    """Return what a distribution asks for by itself and with these extras."""
    needs = [Requirement(line) for line in requires(distribution) or ()]
    return [
        need
        for need in needs
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
