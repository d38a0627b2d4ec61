import os
import pwd
from pathlib import Path

import pytest

from masterflow.domain import SettingsInvalid
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.outbox.settings import OutboxSettings


def spool_dir(monkeypatch: pytest.MonkeyPatch, text: str | None) -> Path:
    if text is None:
        monkeypatch.delenv("ENRICHMENT_SPOOL_DIR", raising=False)
    else:
        monkeypatch.setenv("ENRICHMENT_SPOOL_DIR", text)
    return OutboxSettings().spool_dir


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without HOME and without an entry in the table of users, and where its temporary files are."""

    def nobody(_: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_a_relative_folder_stays_where_it_is_when_the_program_goes_elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert spool_dir(monkeypatch, "var/spool") == tmp_path / "var" / "spool"


def test_a_tilde_is_the_users_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert spool_dir(monkeypatch, "~/spool") == tmp_path / "spool"
    monkeypatch.setenv("XDG_STATE_HOME", "~/state")
    assert spool_dir(monkeypatch, None) == tmp_path / "state" / "flow-enrichment" / "spool"


def test_a_user_without_a_home_keeps_events_among_the_temporary_files(monkeypatch, homeless):
    assert spool_dir(monkeypatch, None) == homeless / f"flow-enrichment-{os.getuid()}" / "spool"


def test_a_temporary_folder_that_somebody_else_has_made_is_refused(monkeypatch, homeless):
    other = os.getuid() + 1
    (homeless / f"flow-enrichment-{other}").mkdir()
    monkeypatch.setattr("os.getuid", lambda: other)
    with pytest.raises(SettingsInvalid, match="ENRICHMENT_SPOOL_DIR"):
        spool_dir(monkeypatch, None)


def test_a_tilde_without_a_home_is_told_in_one_sentence(monkeypatch, homeless):
    with pytest.raises(SettingsInvalid, match="Set ENRICHMENT_SPOOL_DIR to a folder"):
        spool_dir(monkeypatch, "~/spool")


def test_settings_that_cannot_be_read_are_not_read_again_with_each_event(monkeypatch):
    reads = []

    def refuse() -> OutboxSettings:
        reads.append(1)
        raise SettingsInvalid("Set it right.")

    process_delivery.shutdown(0)
    monkeypatch.setattr("masterflow.tracker.outbox.process.OutboxSettings", refuse)
    monkeypatch.setattr("masterflow.tracker.outbox.process._REOPEN_INTERVAL_S", 60.0)
    monkeypatch.setattr(process_delivery, "_redirect", None)
    for _ in range(5):
        with pytest.raises(SettingsInvalid, match="Set it right"):
            process_delivery.append("vital", b"{}")
    assert len(reads) == 1
    process_delivery.shutdown(0)
