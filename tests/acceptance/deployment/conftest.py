"""The project as a wheel, and environments that have it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.packages import build_wheel, copy_source, make_environment
from tests.support.servers.image import leave_out_without


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    leave_out_without("a package index")
    return build_wheel(copy_source(tmp_path_factory.mktemp("wheel") / "source"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """What installs the wheel with some extras into an environment of its own, and returns its Python."""
    folder, made = tmp_path_factory.mktemp("environments"), dict[str, Path]()

    def install(extras: str) -> Path:
        if extras not in made:
            requirement = f"{wheel}[{extras}]" if extras else wheel
            made[extras] = make_environment(folder / (extras or "nothing"), requirement)
        return made[extras]

    return install
