import shutil
import zipfile
from pathlib import Path

import pytest

from tests.support.packages import build_wheel, copy_source, make_environment, run
from tests.support.pages import ROOT

#: What a folder of `scripts/` is for, if it is not for users.
OURS_ALONE = {"bench", "checks", "demonstration", "embedded", "sample_crew", "sample_flow", "supervise"}
SOURCE_SUFFIXES = {".css", ".html", ".js", ".py", ".sql", ".svg"}


def contents(archive):
    with zipfile.ZipFile(archive) as files:
        return {name: files.read(name) for name in files.namelist() if not name.endswith(".dist-info/RECORD")}


def is_for_users(path):
    return path.suffix in SOURCE_SUFFIXES and not (path.parts[0] == "scripts" and path.parts[1] in OURS_ALONE)


def test_its_only_name_is_masterflow(wheel):
    names = {name.partition("/")[0] for name in contents(wheel)}
    assert {name for name in names if not name.endswith(".dist-info")} == {"masterflow"}


def test_it_holds_what_users_run_and_nothing_else(wheel):
    held = {name.removeprefix("masterflow/") for name in contents(wheel) if name.startswith("masterflow/")}
    house = [path for path in (ROOT / "masterflow").iterdir() if path.name != "__pycache__"]
    rooms = [path for path in house if path.is_dir()]
    files = {path.relative_to(ROOT) for room in rooms for path in (ROOT / room.name).rglob("*")}
    expected = {str(path) for path in files if is_for_users(path)}
    assert held == expected | {path.name for path in house if path.is_file()}


@pytest.fixture
def source(tmp_path, wheel):
    return copy_source(tmp_path / "source")


def test_the_wheel_of_a_source_distribution_is_the_same(source, wheel, tmp_path):
    backend = "from setuptools.build_meta import build_sdist; print(build_sdist('dist'))"
    run(make_environment(tmp_path / "builder", "setuptools"), "-c", backend, folder=source)
    [distribution] = (source / "dist").glob("*.tar.gz")
    shutil.copy(distribution, tmp_path)
    assert contents(build_wheel(tmp_path / distribution.name)) == contents(wheel)


@pytest.mark.long
def test_the_wheel_of_a_downloaded_zip_is_the_same(source, wheel, tmp_path):
    # As whoever unpacks a zip without regard to links has it, pip for one.
    for link in [path for path in source.rglob("*") if path.is_symlink()]:
        target = link.readlink()
        link.unlink()
        link.write_text(str(target))
    archive = shutil.make_archive(str(tmp_path / "main"), "zip", tmp_path, "source")
    assert contents(build_wheel(Path(archive))) == contents(wheel)
