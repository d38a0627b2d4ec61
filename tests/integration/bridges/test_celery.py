import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.bridges.celery import uninstall
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace

Row = dict[str, Any]


@pytest.fixture(scope="module")
def users(manned_workplace: tuple[Workplace, SupervisedProcess]) -> Iterator[Any]:
    """The user's application, with a worker of its own beside ours."""
    place, _ = manned_workplace
    command = [sys.executable, "-m", "celery", "--app", "tests.integration.bridges.celery_app", "worker"]
    command += ["--queues", "users", "--concurrency", "2", "--loglevel", "INFO"]
    environment = place.environment | {"ENRICHMENT_SPOOL_DIR": str(place.folder / "users-spool")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", place.environment["REDIS_URL"])
        from tests.integration.bridges import celery_app

    log = place.folder / "users.log"
    with SupervisedProcess(command, env=environment, folder=place.folder, log=log, grace_s=20):
        eventually(lambda: log.exists() and "ready." in log.read_text(), timeout_s=60)
        yield celery_app
    uninstall()


@pytest.fixture
def run(users: Any, workplace: Workplace) -> Callable[..., Row]:
    """What sends a task for a new flow, and returns the row once it is as expected."""

    def run(name: str, until: Callable[[Row], object], **options: Any) -> Row:
        flow_id = str(uuid4())
        sent = users.app.send_task(f"shop.{name}", kwargs={"flow_id": flow_id}, **options)
        if "countdown" in options:
            sent.revoke()
        return row_when(workplace, flow_id, until)

    return run


def row_when(place: Workplace, flow_id: str, until: Callable[[Row], object]) -> Row:
    def is_there() -> bool:
        row = place.find_row(UUID(flow_id))
        return row is not None and bool(until(row))

    eventually(is_there, timeout_s=40)
    return place.row(UUID(flow_id))


def transitions(row: Row) -> list[str]:
    return [f"{entry['phase']}:{entry['status']}" for entry in row["phase_transitions"] or []]


def has(transition: str) -> Callable[[Row], bool]:
    return lambda row: transition in transitions(row)


def test_a_chain_of_tasks_is_a_flow_with_retries_that_ends_completed(
    users: Any, workplace: Workplace
) -> None:
    flow_id = str(uuid4())
    users.steps(flow_id).apply_async()
    told = {
        "load": ["processing", "completed"],
        "parse": ["processing", "completed"],
        "flaky": ["processing", "failed", "processing", "failed", "processing", "completed"],
        "finish": ["processing", "completed"],
    }
    # A chain's next task may begin in another process before the one before it has said that it ends.
    row = row_when(workplace, flow_id, lambda row: len(transitions(row)) == sum(map(len, told.values())))
    for name, statuses in told.items():
        assert [one for one in transitions(row) if one.startswith(f"{name}:")] == [
            f"{name}:{status}" for status in statuses
        ]
    row = row_when(workplace, flow_id, lambda row: row["flow_status"] == "completed")
    assert row["retry_count"] == 2
    assert row["phase_execution_times"]["flaky"]["attempts"] == 3
    errors = row["error_history"]
    assert [(entry["phase"], entry["error"]) for entry in errors] == [("flaky", "503 from the provider")] * 2
    assert [entry["agent"] for entry in row["agent_collaboration_log"]] == ["loader"]


def test_a_failed_task_fails_its_flow(run: Callable[..., Row]) -> None:
    row = run("broken", lambda row: row["flow_status"] == "failed")
    assert transitions(row) == ["broken:processing", "broken:failed"]
    [error] = row["error_history"]
    assert error["error"] == "row 17 has no hostname"


def test_a_soft_time_limit_is_an_error(run: Callable[..., Row]) -> None:
    row = run("slow", lambda row: row["flow_status"] == "failed")
    assert transitions(row) == ["slow:processing", "slow:failed"]
    [error] = row["error_history"]
    assert "SoftTimeLimitExceeded" in error["error"]


def test_a_task_whose_process_was_killed_by_a_time_limit_is_failed(run: Callable[..., Row]) -> None:
    row = run("stuck", lambda row: row["flow_status"] == "failed")
    assert transitions(row) == ["stuck:processing", "stuck:failed"]
    assert "TimeLimitExceeded" in row["error_history"][0]["error"]


def test_an_ignored_task_is_cancelled_and_no_error(run: Callable[..., Row]) -> None:
    row = run("left_out", has("left_out:cancelled"))
    assert row["flow_status"] == "processing"
    assert not row["error_history"]


def test_a_revoked_task_is_cancelled(run: Callable[..., Row]) -> None:
    row = run("load", has("load:cancelled"), countdown=3)
    assert transitions(row) == ["load:cancelled"]
    assert not row["error_history"]


def test_a_task_without_a_flow_is_left_alone(users: Any, workplace: Workplace) -> None:
    users.app.send_task("shop.nobodys")
    log = workplace.folder / "users.log"
    eventually(lambda: "shop.nobodys" in log.read_text() and "succeeded" in log.read_text(), timeout_s=30)
    assert "makes no sense" not in log.read_text()
