"""`flowctl` as its users run it, and the settings it finds."""

import sys

import pytest

from masterflow import tracker
from masterflow.scripts.flowctl import main
from masterflow.scripts.terminal.whole import console


@pytest.fixture
def flowctl(monkeypatch, capsys):
    """What runs a command and returns its exit code, what it said, and what it complained about."""
    # Not by COLUMNS, which the console reads when it is made: xdist has set it for its processes by then.
    monkeypatch.setattr(console, "width", 150)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(".")  # and back again: a command may go elsewhere

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flowctl", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    yield run
    # The outbox that a command opened here, or failed to open.
    tracker.shutdown(0)


@pytest.fixture
def database_setting(database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)


@pytest.fixture
def redis_setting(redis_url, monkeypatch):
    monkeypatch.setenv("REDIS_URL", redis_url)


@pytest.fixture
def nothing_listens(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@127.0.0.1:1/flows")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
