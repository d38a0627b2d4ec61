"""What the folder of a dead process tells of the flows that it held, and the events that follow from it."""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal
from uuid import UUID, uuid5

from masterflow.domain.clock import from_microseconds, parse_time, to_microseconds
from masterflow.domain.events import FlowLost, new_event
from masterflow.domain.life.holding import HOLDING, HeldFlow, Holding, host_of
from masterflow.domain.life.own_files import is_own_file, is_own_folder, open_own

#: The file that a living process keeps locked.
LOCK: Final = "lock"

_NAMESPACE: Final = UUID("a3b1f6c2-6f0e-5d6b-9b57-0c9d7a1e4b11")
_MOST_BYTES: Final = 16_000_000

#: A record of the outbox's files: its event's flow and time.
_PLACE: Final = re.compile(rb'"flow_id":"([0-9a-f-]{36})"[^\n]*?"occurred_at":"([0-9T:.+Z-]{20,40})"')
_SEGMENT: Final = re.compile(r"(vital|detail)-\d{16}-[0-9a-f]+\.log")
_NEWEST_SEGMENTS: Final = 2


def lost_event(
    held: HeldFlow,
    *,
    cause: Literal["witnessed", "goodbye", "silent"],
    holder: str,
    moment: int,
    phase: str | None = None,
) -> FlowLost:
    """Return the event that a flow lost its holder, just behind the last that was heard of it.

    Its id follows from the rest, so that it is one event whoever tells it.
    """
    last = from_microseconds(moment)
    return new_event(
        FlowLost,
        held.context,
        held.flow_id,
        event_id=uuid5(_NAMESPACE, f"{held.flow_id}:{holder}:{moment}"),
        occurred_at=last + timedelta(microseconds=1),
        cause=cause,
        holder=holder,
        host=host_of(holder),
        last_sign_at=last,
        phase=phase,
    )


def witnessed(folder: Path) -> list[FlowLost]:
    """Return what is to be told of a dead process, whose folder the caller has locked; OSError passes."""
    holding = left_in(folder)
    return [
        lost_event(held, cause="witnessed", holder=folder.name, moment=holding.last_moment(held.flow_id))
        for held in holding.flows.values()
    ]


def left_in(folder: Path) -> Holding:
    """Return what a process noted as held, with the times of the last events in its outbox."""
    try:
        with open(open_own(folder / HOLDING), "rb") as file:  # noqa: PTH123  a descriptor
            holding = Holding.read(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return Holding()
    if holding.flows:
        for flow_id, at in _last_events(folder):
            if flow_id in holding.flows:
                holding.note(flow_id, at)
    return holding


@contextmanager
def locked_if_dead(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock and yield True, or yield False if its owner lives or may live."""
    try:
        descriptor = open_own(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def folders_that_hold(spool: Path) -> list[Path]:
    """Return the folders of processes that hold flows or did when they died; OSError passes.

    Only of this user: another's could tell that any flow is lost.
    """
    try:
        with os.scandir(spool) as entries:
            found = [
                spool / one.name for one in entries if not one.name.startswith(".") and is_own_folder(one)
            ]
    except FileNotFoundError:
        return []
    return [folder for folder in sorted(found) if (folder / HOLDING).exists()]


def broker_of(folder: Path) -> str:
    """Return whom the events in a folder are for, as its lock's file says; OSError passes."""
    with open(open_own(folder / LOCK), "rb") as file:  # noqa: PTH123  a descriptor
        for line in file:
            if line.startswith(b'{"broker":'):
                try:
                    return str(json.loads(line)["broker"])
                except ValueError:
                    continue
    return ""


def _last_events(folder: Path) -> Iterable[tuple[UUID, int]]:
    """Yield the flow and the time of the newest events in an outbox's files."""
    names = sorted(
        entry.name for entry in os.scandir(folder) if _SEGMENT.fullmatch(entry.name) and is_own_file(entry)
    )
    for lane in ("vital", "detail"):
        for name in [one for one in names if one.startswith(lane)][-_NEWEST_SEGMENTS:]:
            with open(open_own(folder / name), "rb") as file:  # noqa: PTH123  a descriptor
                data = file.read(_MOST_BYTES)
            for match in _PLACE.finditer(data):
                if at := parse_time(match[2].decode()):
                    yield UUID(match[1].decode()), to_microseconds(at)
