"""Where and as whom Postgres runs, which refuses to be root."""

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

# Not TMPDIR: a socket's path may have 107 bytes, and everybody can reach this folder.
_TEMPORARY = Path("/tmp")  # noqa: S108

User = tuple[int, int]


def unprivileged_user() -> User | None:
    """Return the (uid, gid) to run as instead of root, or None to stay who we are."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def is_reachable(path: Path, user: User | None) -> bool:
    """Tell whether that user may enter, or run, `path` and all that is above it."""
    path = path.resolve()
    return user is None or all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def private_folder(owner: Path) -> Path:
    """Return the short path that every user can reach and only the server of the folder `owner` uses."""
    digest = hashlib.sha256(f"{os.geteuid()} {owner}".encode()).hexdigest()[:16]
    return _TEMPORARY / f"enrichment-{digest}"


def claim(folder: Path) -> None:
    """Make a private folder, if it is not there.

    Raises:
        PermissionError: somebody else has made it.
    """
    folder.mkdir(exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else; have it removed")
    folder.chmod(0o711)


def owned_folder(path: Path, user: User | None) -> Path:
    """Make a folder that only this user can enter, if it is not there, and return it."""
    path.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(path, *user)
    return path


def mirror(parts: list[Path], destination: Path, *, above: Path, user: User | None) -> None:
    """Copy folders, once, for that user: as they stand below `above`, so below `destination`."""
    if destination.exists():
        return
    unfinished = destination.with_name(f"{destination.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in parts:
        shutil.copytree(part, unfinished / part.relative_to(above), symlinks=True)
    if user is not None:
        for path in (unfinished, *unfinished.rglob("*")):
            os.chown(path, *user, follow_symlinks=False)
    unfinished.rename(destination)
