"""What the outbox reads from the environment."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from masterflow.domain import SettingsInvalid
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


class OutboxSettings(Settings):
    """Where events wait until a worker confirms them, how many, and how long."""

    outbox: Literal["on", "off"] = Field(
        "on",
        validation_alias="ENRICHMENT_OUTBOX",
        description="on, or off to keep reports in memory and send none, in tests of your own code",
    )
    #: All processes of a host share it; each has its own folder inside.
    spool_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        default_factory=_state_folder,
        validation_alias="ENRICHMENT_SPOOL_DIR",
        description="a folder on a disk that outlives the process",
    )
    max_bytes: int = Field(
        256_000_000,
        ge=1,
        validation_alias="ENRICHMENT_OUTBOX_MAX_BYTES",
        description="the most bytes that one process may keep",
    )
    segment_bytes: int = Field(
        1_000_000,
        ge=1,
        validation_alias="ENRICHMENT_SEGMENT_BYTES",
        description="the bytes after which a file is closed and the next one begun",
    )
    fsync: Literal["interval", "always", "never"] = Field(
        "interval",
        validation_alias="ENRICHMENT_FSYNC",
        description="interval (every 200 ms), always (within each hook) or never",
    )
    confirm_timeout_s: float = Field(
        30,
        gt=0,
        validation_alias="ENRICHMENT_CONFIRM_TIMEOUT_S",
        description="seconds above 0 after which an unconfirmed batch is sent again",
    )
    exit_timeout_s: float = Field(
        2,
        ge=0,
        validation_alias="ENRICHMENT_EXIT_TIMEOUT_S",
        description="the most seconds that a process waits at its end for confirmations",
    )
    is_strict: bool = Field(
        default=False,
        validation_alias="ENRICHMENT_STRICT",
        description="true to let hooks raise on nonsense, in tests of your own code",
    )

    @property
    def is_off(self) -> bool:
        """Return whether reports only stay in memory."""
        return self.outbox == "off"
