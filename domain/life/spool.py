"""Where the processes of a host keep their outboxes."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from masterflow.domain.errors import SettingsInvalid
from masterflow.domain.settings import Settings


def _state_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return _absolute(Path(state) / "flow-enrichment" / "spool")
    except ValueError:
        return _temporary_folder()


def _temporary_folder() -> Path:
    """Return where a user without a home keeps events; whoever made it first must be that user.

    Raises:
        SettingsInvalid: somebody else has made it.
    """
    folder = Path(tempfile.gettempdir()).absolute() / f"flow-enrichment-{os.getuid()}"
    if folder.exists() and folder.stat().st_uid != os.getuid():
        raise SettingsInvalid("Set ENRICHMENT_SPOOL_DIR to a folder on a disk that outlives the process.")
    return folder / "spool"


def _absolute(path: Path) -> Path:
    """Return where the path leads now: a program may change its folder later.

    Raises:
        ValueError: there is no home, or the working directory is gone.
    """
    try:
        return path.expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise ValueError(str(error)) from error


class SpoolSettings(Settings):
    """The folder that all processes of a host share, workers included where they run beside orchestrators."""

    #: All processes of a host share it; each has its own folder inside.
    spool_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=_state_folder,
        validation_alias="ENRICHMENT_SPOOL_DIR",
        description="a folder on a disk that outlives the process",
    )
