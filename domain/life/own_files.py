"""Files in folders that others may write: opened only if they are plain files of this process's user."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path


def open_own(path: Path, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of a file of ours; a link is not followed, and a FIFO keeps nobody waiting.

    OSError says that there is none, or that something else stands there, or that it is another user's.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check(os.fstat(descriptor), path, stat.S_ISREG, "it is no plain file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_own_file(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry of a folder is a plain file of ours, and stands there under its only name.

    Others may have given a second one to any file of ours, which is not to be sent, cut or counted.
    """
    if not entry.is_file(follow_symlinks=False):
        return False
    status = entry.stat(follow_symlinks=False)
    return status.st_uid == os.geteuid() and status.st_nlink == 1


def is_own_folder(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry of a folder is a folder of ours."""
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def check_own_folder(folder: Path) -> None:
    """Accept a folder of ours; OSError says that there is none, or that it is another user's."""
    _check(folder.lstat(), folder, stat.S_ISDIR, "it is no folder")


def others_may_write(folder: Path) -> bool:
    """Return whether other users than this one and root may put, move or remove files of a folder."""
    status = folder.stat()
    mode = status.st_mode
    is_open = bool(mode & (stat.S_IWGRP | stat.S_IWOTH)) and not mode & stat.S_ISVTX
    return is_open or (os.geteuid() != 0 and status.st_uid not in {os.geteuid(), 0})


def _check(status: os.stat_result, path: Path, is_right: Callable[[int], bool], complaint: str) -> None:
    if not is_right(status.st_mode):
        raise OSError(errno.EINVAL, complaint, str(path))
    if status.st_uid != os.geteuid():
        complaint = f"it belongs to the user with the number {status.st_uid} and is left alone"
        raise OSError(errno.EPERM, complaint, str(path))
