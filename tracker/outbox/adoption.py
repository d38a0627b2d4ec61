"""What a dead process left in the spool, taken over by a living one."""

from pathlib import Path

from masterflow.tracker.outbox.outbox import Outbox
from masterflow.tracker.outbox.segments import segments_in
from masterflow.tracker.outbox.spool import folders, lock_of_dead, remove_folder


def adopt_orphans(outbox: Outbox) -> int:
    """Move the segments of dead processes into this outbox while it has room; return their records."""
    adopted_records = 0
    for folder in folders(outbox.folder.parent):
        with lock_of_dead(folder) as is_dead:
            if is_dead:
                adopted_records += _empty(folder, outbox)
    return adopted_records


def _empty(folder: Path, outbox: Outbox) -> int:
    adopted_records = sum(outbox.adopt(path) for path in segments_in(folder))
    remove_folder(folder)
    return adopted_records
