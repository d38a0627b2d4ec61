"""What people install: the project as a wheel, built from a copy of its source, and environments for it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.pages import ROOT

#: What a build reads; building leaves things in its folder, so it gets a copy.
SOURCES: Final = (
    "LICENSE",
    "README.md",
    "bridges",
    "celeryconfig.py",
    "domain",
    "masterflow",
    "pyproject.toml",
    "repository",
    "scripts",
    "setup.py",
    "status",
    "tasks",
    "tracker",
)

_UV: Final = shutil.which("uv")
_PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def run(*command: object, folder: Path) -> str:
    """Run a command and return what it said; it has to succeed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copy_source(target: Path) -> Path:
    """Copy what a build reads, links as links, and return the folder."""
    target.mkdir(parents=True)
    without = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=without)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


def build_wheel(source: Path) -> Path:
    """Build a folder, or an archive of the source, into a wheel beside it."""
    built = source.with_name(f"{source.name}-built")
    if _UV:
        run(_UV, "build", "--quiet", "--wheel", "--out-dir", built, source, folder=source.parent)
    else:
        run(*_PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", built, source, folder=source.parent)
    [wheel] = built.glob("*.whl")
    return wheel


def make_environment(folder: Path, *requirements: object, lock: str = "requirements.txt") -> Path:
    """Make an empty environment, install the requirements at the versions of a lock, return its Python."""
    python = folder / "bin" / "python"
    create = [_UV, "venv", "--quiet"] if _UV else [sys.executable, "-m", "venv", "--without-pip"]
    run(*create, folder, folder=folder.parent)
    into = ["--python", python]
    install = [_UV, "pip", "install", *into] if _UV else [*_PIP, *into, "install", "--no-compile"]
    run(*install, "--quiet", "--constraint", ROOT / lock, *requirements, folder=folder.parent)
    return python
