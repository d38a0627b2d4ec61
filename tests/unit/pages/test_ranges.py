import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name):
    """Return the version of each package in a lock."""
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): Version(version) for package, version in lines}


def ranges(*extras):
    """Return what is depended on directly, our own extras left out."""
    optional = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in optional[extra])]
    return [needed for needed in map(Requirement, texts) if needed.name != "masterflow"]


def lower_bound(requirement):
    [lowest] = [part.version for part in requirement.specifier if part.operator == ">="]
    return Version(lowest)


def test_the_oldest_versions_are_tested():
    lock = locked("requirements-lowest.txt")
    for needed in ranges("cli", "database", "status"):
        assert lock[canonicalize_name(needed.name)] == lower_bound(needed), needed


def test_the_newest_versions_are_tested():
    lock = locked("requirements.txt")
    for needed in ranges(*PROJECT["optional-dependencies"].keys() - {"crewai"}):
        version = lock[canonicalize_name(needed.name)]
        assert needed.specifier.contains(version), needed
        assert version >= locked("requirements-lowest.txt").get(canonicalize_name(needed.name), version)


def test_the_newest_crewai_is_tested_and_none_is_refused():
    lock = locked("requirements-crewai.txt")
    for needed in ranges("crewai", "database"):
        assert needed.specifier.contains(lock[canonicalize_name(needed.name)]), needed
    assert locked("requirements-crewai-older.txt")["crewai"] < lock["crewai"]
    [crewai] = [needed for needed in ranges("crewai") if needed.name == "crewai"]
    assert [part.operator for part in crewai.specifier] == [">="]


def test_an_orchestrator_may_have_the_packages_of_applications_of_2024():
    needed = {requirement.name: requirement.specifier for requirement in ranges()}
    for name, version in {"celery": "5.3.6", "redis": "5.0.8", "pydantic": "2.7.4"}.items():
        assert needed[name].contains(version), name


def test_no_lock_names_an_index_or_a_place_on_a_machine():
    for name in ("", "-bench", "-lowest", "-crewai", "-crewai-older"):
        text = (ROOT / f"requirements{name}.txt").read_text()
        assert "://" not in text
        assert not re.search(r"^--", text, re.MULTILINE)
