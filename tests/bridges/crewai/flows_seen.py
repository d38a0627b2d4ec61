"""What a row says of a flow, in the shapes that tests compare."""

from typing import Any

Row = dict[str, Any]


def transitions(row: Row) -> list[str]:
    return [f"{entry['phase']}:{entry['status']}" for entry in row["phase_transitions"] or []]


def attempts(row: Row) -> dict[str, int]:
    return {phase: time["attempts"] for phase, time in row["phase_execution_times"].items()}


def times_ms(row: Row) -> dict[str, float]:
    return {phase: time["execution_time_ms"] for phase, time in row["phase_execution_times"].items()}


def errors(row: Row) -> list[tuple[str, str]]:
    return [(entry["phase"], entry["error"]) for entry in row["error_history"] or []]


def agents(row: Row) -> list[tuple[str, str, str]]:
    entries = row["agent_collaboration_log"]
    return [(entry["agent"], entry["activity"], entry["details"]["outcome"]) for entry in entries]


def snapshot(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = row["flow_metadata"]["last_progress_update"]
    return found


def progress(row: Row) -> float:
    return float(snapshot(row)["progress"])
