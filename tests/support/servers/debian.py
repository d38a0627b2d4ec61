"""Programs of Debian packages that some tests need and no Python package brings."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.servers.image import leave_out_without

_LOCK = Path(__file__).parents[3] / ".local" / "apt.lock"
_FOLDERS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/lib/postgresql/15/bin"

# RUNLEVEL keeps a package from starting its service.
_ENVIRONMENT = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


def installed_program(package: str, program: str) -> Path:
    """Return the program's path; CI installs its package, and elsewhere the test is skipped without it."""
    found = shutil.which(program, path=_FOLDERS)
    if found is None:
        leave_out_without(f"the Debian package {package}")
    if found is None and "CI" not in os.environ:
        pytest.skip(f"{program} is missing; to run this test: apt install {package}")
    if found is None:
        _install(package)
        found = shutil.which(program, path=_FOLDERS)
    if found is None:
        pytest.fail(f"The Debian package {package} did not bring {program}.")
    return Path(found)


def _install(package: str) -> None:
    _LOCK.parent.mkdir(exist_ok=True)
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            done = subprocess.run(
                ["apt-get", "-qq", *command], env=_ENVIRONMENT, capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.fail(f"apt-get {command[0]} failed: {done.stderr[-500:]}")
