import time

import pytest

from masterflow.domain import DatabaseUnavailable, InputInvalid
from masterflow.domain.errors import RightsMissing
from masterflow.tasks.delivery import retry
from masterflow.tasks.delivery.retry import Retries, rest


class Server:
    """Answers from the given attempt on."""

    def __init__(self, *, available_at: int) -> None:
        self.attempts = 0
        self._available_at = available_at

    def ask(self, cause: type[DatabaseUnavailable] = DatabaseUnavailable) -> str:
        self.attempts += 1
        if self.attempts < self._available_at:
            raise cause("Postgres is away.")
        return "answer"


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_flag", bytearray(b"\1"))


def test_what_works_is_tried_once() -> None:
    server = Server(available_at=1)
    assert Retries().run(server.ask) == "answer"
    assert server.attempts == 1


def test_what_is_away_is_tried_until_it_is_back() -> None:
    server = Server(available_at=4)
    assert Retries().run(server.ask) == "answer"
    assert server.attempts == 4


def test_retrying_ends() -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        Retries(0.5).run(Server(available_at=1_000).ask)
    assert time.monotonic() - started < 0.5


def test_all_waiting_of_one_task_shares_one_limit() -> None:
    retries = Retries(0.5)
    assert retries.run(Server(available_at=3).ask) == "answer"
    with pytest.raises(DatabaseUnavailable):
        retries.run(Server(available_at=3).ask)


def test_why_it_waits_is_logged_once_a_minute_for_each_reason(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_warned_at", {})

    def logged(cause: type[DatabaseUnavailable]) -> int:
        server = Server(available_at=4)
        caplog.clear()
        Retries().run(lambda: server.ask(cause))
        return len(caplog.records)

    assert [logged(DatabaseUnavailable) for _ in range(2)] == [1, 0]
    assert logged(RightsMissing) == 1
    monkeypatch.setattr(retry, "_QUIET_S", 0.0)
    assert logged(RightsMissing) == 3


def test_what_will_never_work_is_not_repeated() -> None:
    def fail() -> None:
        raise InputInvalid("No.")

    with pytest.raises(InputInvalid):
        Retries().run(fail)


@pytest.mark.usefixtures("stop")
def test_a_worker_that_stops_waits_for_nothing() -> None:
    server, started = Server(available_at=2), time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        Retries().run(server.ask)
    rest(10)
    assert (server.attempts, time.monotonic() - started < 1) == (1, True)
