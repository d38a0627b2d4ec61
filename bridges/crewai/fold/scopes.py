"""What is going on inside what: flows, methods, crews, tasks, agents, calls."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from masterflow.bridges.crewai.records import Record

#: The word for each kind of scope in which an error may rise.
LEVELS: Final = {
    "flow_started": "flow",
    "method_execution_started": "method",
    "crew_kickoff_started": "crew",
    "task_started": "task",
    "agent_execution_started": "agent",
    "lite_agent_execution_started": "agent",
    "llm_call_started": "llm",
    "tool_usage_started": "tool",
    "llm_guardrail_started": "guardrail",
    "memory_save_started": "memory",
    "memory_query_started": "memory",
    "memory_retrieval_started": "memory",
}


@dataclass(eq=False, slots=True)
class Scope:
    """Something that started and has an end, inside something else."""

    record: Record
    parent: "Scope | None"
    #: The `Run` that it is a part of; None outside of any user's flow.
    run: Any
    #: The phase that it is, if it is the method of a user's flow.
    phase: str | None = None
    is_resumed: bool = False
    #: When its code began and ended, from PRE_STEP and POST_STEP: nanoseconds of the monotonic clock.
    began_ns: int | None = None
    ended_ns: int | None = None
    #: When its code began by the wall clock, in microseconds.
    began_at: int | None = None
    waits_since: int | None = None
    waited_us: int = 0
    #: A task's: an agent has failed in it, and was not started again yet.
    agent_failed: bool = False
    #: The tool calls in it that have failed so far, by tool: how often, and since when.
    failing_tools: dict[str, tuple[int, int, Record]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the id of the event that opened it."""
        return self.record.event_id

    @property
    def level(self) -> str:
        """Return the word for what it is, in an error's levels."""
        return LEVELS.get(self.record.kind, self.record.kind.removesuffix("_started"))

    @property
    def is_internal(self) -> bool:
        """Return whether it is crewAI's own flow."""
        return bool(self.record.facts.get("is_internal"))

    def around(self) -> Iterator["Scope"]:
        """Give it and what is around it, inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def nearest(self, level: str) -> "Scope | None":
        """Return the innermost scope of a level, from this one outwards."""
        return next((one for one in self.around() if one.level == level and not one.is_internal), None)

    @property
    def phase_scope(self) -> "Scope | None":
        """Return the innermost phase that it is in."""
        return next((one for one in self.around() if one.phase), None)

    def elapsed_ms(self, end_at: int) -> float:
        """Return how long it has worked until then, without its waits for humans."""
        waited_us = self.waited_us
        if self.waits_since is not None:
            waited_us += max(0, end_at - self.waits_since)
        if self.began_ns is not None and self.ended_ns is not None:
            worked_us = (self.ended_ns - self.began_ns) / 1_000
        else:
            worked_us = end_at - (self.began_at if self.began_at is not None else self.record.at)
        return round(max(0.0, worked_us - waited_us) / 1_000, 3)
