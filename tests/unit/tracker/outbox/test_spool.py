from pathlib import Path

import pytest

from masterflow.tracker.outbox import spool
from masterflow.tracker.outbox.segments import Segment, encode_record, segments_in
from tests.support.events.lines import event_line


def test_a_segment_that_is_adopted_while_somebody_counts_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        spool.make_folder(tmp_path)
    first, last = spool.folders(tmp_path)
    Segment.create(last, "vital").append(encode_record(event_line(1)))
    look = spool._status

    def look_just_too_late(folder: Path) -> spool.FolderStatus:
        for path in segments_in(last) if folder == last else ():
            path.rename(first / path.name)
        return look(folder)

    monkeypatch.setattr(spool, "_status", look_just_too_late)
    assert spool.waiting_records(tmp_path) == 1


def test_what_waits_nowhere_is_not_counted(tmp_path: Path) -> None:
    assert spool.waiting_records(tmp_path) == 0
    spool.make_folder(tmp_path)
    assert spool.waiting_records(tmp_path) == 0
