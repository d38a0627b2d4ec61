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


def usage(row: Row) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return calls, input and output tokens by agent and model."""
    used = row["agent_performance_metrics"]["usage"]
    return {
        (agent, model): (one["calls"], one["input_tokens"], one["output_tokens"])
        for agent, models in used.items()
        for model, one in models.items()
    }


def snapshot(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = row["flow_metadata"]["last_progress_update"]
    return found


def progress(row: Row) -> float:
    return float(snapshot(row)["progress"])
