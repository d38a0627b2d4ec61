"""What was measured already, so that a run that was interrupted goes on where it was."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Results:
    """Figures by name, each in a file, made once for one state of the code and one set of sizes."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder / hashlib.sha256(key.encode()).hexdigest()[:12]
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return what was found under this name, or measure and keep it."""
        file = self._folder / f"{name}.json"
        if not file.exists():
            found = measure()
            unfinished = file.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(found, indent=1), encoding="utf-8")
            unfinished.rename(file)
        return json.loads(file.read_text(encoding="utf-8"))

    def forget(self) -> None:
        """Measure everything anew."""
        for file in self._folder.iterdir():
            file.unlink()


def state_of_the_code(root: Path) -> str:
    """Return the commit, and a digest of what differs from it."""
    if shutil.which("git") is None:
        return "unknown"
    commit = _git(root, "rev-parse", "--short=12", "HEAD").strip()
    changes = _git(root, "diff", "HEAD", "--", "*.py", "*.sql", "requirements*.txt")
    return commit if not changes else f"{commit}+{hashlib.sha256(changes.encode()).hexdigest()[:8]}"


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],  # noqa: S607  whichever git the user has
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout
