"""Whether the outbox folder can take events, and whether what is in it moves."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from masterflow.domain.life.own_files import others_may_write
from masterflow.tasks.check_result import CheckResult
from masterflow.tracker.outbox import spool
from masterflow.tracker.outbox.delivery import own_broker
from masterflow.tracker.outbox.settings import OutboxSettings
from masterflow.tracker.outbox.spool import FolderStatus

#: What is older has missed several repetitions.
MOST_AGE_S: Final = 300.0

_MOST_SHOWN: Final = 5


def check_outbox() -> list[CheckResult]:
    """Return what was found about the outbox of this host."""
    settings = OutboxSettings()
    if settings.is_off:
        found = "ENRICHMENT_OUTBOX is off: what is reported stays in memory and is never sent"
        return [CheckResult("outbox", "problem", found, "unset it, except in tests")]
    folder = settings.spool_dir
    try:
        place = _nearest(folder)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4_096))
        room = room_result(shutil.disk_usage(place).free, most_bytes=settings.max_bytes)
        statuses = spool.statuses(folder)
        locks, rights = lock_result(folder), rights_result(folder)
    except OSError as error:
        found = f"The outbox folder {folder} cannot be used ({error.strerror})"
        advice = "let ENRICHMENT_SPOOL_DIR name a folder with room that the orchestrator's user may write"
        return [CheckResult("outbox", "problem", found, advice)]
    results = [waiting_result(statuses), orphan_result(statuses), sick_result(statuses), locks, rights]
    return [CheckResult("outbox"), room, *results]


def room_result(free_bytes: int, *, most_bytes: int) -> CheckResult:
    """Return whether the disk has room for two full outboxes."""
    if free_bytes >= 2 * most_bytes:
        return CheckResult("outbox room")
    found = f"The disk of the outbox has {free_bytes:,} bytes left, and one process may need {most_bytes:,}"
    advice = "make room, or lower ENRICHMENT_OUTBOX_MAX_BYTES"
    return CheckResult("outbox room", "problem", found, advice)


def waiting_result(statuses: list[FolderStatus]) -> CheckResult:
    """Return whether what living processes reported gets confirmed."""
    late = [it for it in statuses if it.has_owner and it.records and it.oldest_age_s > MOST_AGE_S]
    if not late:
        return CheckResult("outbox waiting")
    events, oldest_s = sum(it.records for it in late), max(it.oldest_age_s for it in late)
    found = f"{events} events wait, and the oldest has not been confirmed for {oldest_s:.0f} s"
    return CheckResult("outbox waiting", "problem", found, "see that a worker runs and the broker is reached")


def orphan_result(statuses: list[FolderStatus]) -> CheckResult:
    """Return whether dead processes left events."""
    left = sum(it.records for it in statuses if not it.has_owner)
    if not left:
        return CheckResult("outbox orphans")
    found = f"{left} events were left by processes that are gone"
    advice = "send them with `flowctl outbox flush`, or let the next orchestrator here take them over"
    others = {it.broker for it in statuses if it.records and not it.has_owner} - {own_broker()}
    if others:
        names = " and ".join(sorted(name or "a broker that is not known" for name in others))
        found += f", some of them for {names}"
        advice += "; `flowctl outbox adopt --all` also takes over what is for another broker"
    return CheckResult("outbox orphans", "problem", found, advice)


def sick_result(statuses: list[FolderStatus]) -> CheckResult:
    """Return whether every folder can be looked at."""
    sick = [f"{it.name}: {it.trouble}" for it in statuses if it.trouble]
    if not sick:
        return CheckResult("outbox folders")
    shown = "; ".join(sick[:_MOST_SHOWN]) + ("; …" if len(sick) > _MOST_SHOWN else "")
    found = f"{len(sick)} folders of the outbox may hold events that nobody takes over ({shown})"
    advice = "run this as the user that reported them, or hand the folders over with chown"
    return CheckResult("outbox folders", "problem", found, advice)


def rights_result(folder: Path) -> CheckResult:
    """Return whether nobody else may put events into the outbox folder, or take them away."""
    if folder.exists() and others_may_write(folder):
        found = f"Other users may write in {folder}, so they can take away what waits there"
        return CheckResult("outbox rights", "problem", found, f"chmod 0700 {folder}, as its owner")
    return CheckResult("outbox rights")


def lock_result(folder: Path) -> CheckResult:
    """Return whether locks in the outbox folder tell on every host whose process lives."""
    advice = "let ENRICHMENT_SPOOL_DIR name a folder on a local disk, one for each host"
    if not spool.locks_work(folder):
        found = f"The file system of {folder} keeps no locks, so nobody takes over what dead processes leave"
        return CheckResult("outbox locks", "problem", found, advice)
    if kind := spool.shared_file_system(folder):
        found = f"{folder} is on {kind}, whose locks may not hold between hosts"
        return CheckResult("outbox locks", "problem", found, advice)
    return CheckResult("outbox locks")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it if it is not made yet."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
