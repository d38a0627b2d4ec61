import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from masterflow.repository.database import make_engine
from masterflow.repository.database import session_factory as make_sessions
from masterflow.repository.settings import DatabaseSettings
from masterflow.tasks.retention import task
from tests.integration.retention.conftest import add_old, archived_ids, rows_of


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What does something with sessions, and does so for the task too."""

    def in_sessions(work: Any, **_: Any) -> Any:
        async def do() -> Any:
            engine = make_engine(DatabaseSettings(database_url=database_url))
            try:
                return await work(make_sessions(engine))
            finally:
                await engine.dispose()

        return asyncio.run(do())

    monkeypatch.setattr(task, "worker_loop", lambda: SimpleNamespace(run=in_sessions))
    return in_sessions


def test_it_archives_and_thins_by_the_settings_and_does_nothing_without(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def aged(days: int) -> Any:
        at = datetime.now(UTC) - timedelta(days=days)
        return lambda sessions: add_old(sessions, created_at=at, updated_at=at)

    oldest, old, _ = (str(run(aged(days))) for days in (91, 31, 29))
    before = run(rows_of)
    task.run()
    assert run(rows_of) == before

    monkeypatch.setenv("ENRICHMENT_ARCHIVE_AFTER_DAYS", "90")
    monkeypatch.setenv("ENRICHMENT_ARCHIVE_TO", str(tmp_path / "archive"))
    monkeypatch.setenv("ENRICHMENT_THIN_AFTER_DAYS", "30")
    task.run()
    after = run(rows_of)
    assert archived_ids(tmp_path) == [oldest]
    assert before.keys() - after.keys() == {oldest}
    assert [flow_id for flow_id in after if after[flow_id] != before[flow_id]] == [old]


def test_what_keeps_it_from_writing_is_told_and_costs_no_row(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(add_old)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENRICHMENT_ARCHIVE_AFTER_DAYS", "90")
    monkeypatch.setenv("ENRICHMENT_ARCHIVE_TO", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        task.run()
    assert "Retention waits for its next run" in caplog.text
    assert len(run(rows_of)) == 1
