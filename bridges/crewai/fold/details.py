"""What agents, tools, models and memories did inside a phase."""

from collections.abc import Mapping
from typing import Any, Final

from masterflow.bridges.crewai.fold.reports import Usage
from masterflow.bridges.crewai.fold.runs import Run
from masterflow.bridges.crewai.fold.scopes import Scope
from masterflow.bridges.crewai.records import Record
from masterflow.domain.events import AgentCollaborated, MemoryMeasured

#: The names under which providers count; the first that is there counts.
_INPUT: Final = ("prompt_tokens", "input_tokens", "prompt_token_count", "promptTokenCount", "inputTokens")
_OUTPUT: Final = (
    "completion_tokens",
    "output_tokens",
    "candidates_token_count",
    "candidatesTokenCount",
    "outputTokens",
)

_MEMORY_ACTS: Final = {"memory_save": "saved", "memory_query": "queried", "memory_retrieval": "retrieved"}


def agent_started(run: Run, scope: Scope) -> None:
    """Count an agent that starts again after it has failed in the same task."""
    task = scope.nearest("task")
    if task is not None and task.agent_failed:
        task.agent_failed = False
        run.retry(scope.record)


def agent_failed(scope: Scope) -> None:
    """Note that what an agent needs has failed, so that its next start is a retry."""
    task = scope.nearest("task")
    if task is not None and scope.level in ("agent", "llm"):
        task.agent_failed = True


def guardrail_started(run: Run, scope: Scope) -> None:
    """Count a guardrail that looks again, once for all that is done again because of it."""
    if scope.record.facts.get("retries"):
        run.retry(scope.record)
        if task := scope.nearest("task"):
            task.agent_failed = False


def agent_ended(run: Run, scope: Scope, record: Record, outcome: str) -> None:
    """Tell that an agent's work ended."""
    facts = scope.record.facts
    _log(run, scope, record, agent=facts.get("agent", ""), activity="worked", task=facts.get("task"),
         outcome=outcome, execution_time_ms=scope.elapsed_ms(record.at))  # fmt: skip


def task_ended(run: Run, scope: Scope, record: Record, outcome: str) -> None:
    """Tell that a task ended."""
    facts = scope.record.facts
    _log(run, scope, record, agent=facts.get("agent", ""), activity="task", task=facts.get("task"),
         outcome=outcome, execution_time_ms=scope.elapsed_ms(record.at))  # fmt: skip


def human_acted(run: Run, scope: Scope, record: Record, activity: str) -> None:
    """Tell that a human was asked or has answered."""
    facts = record.facts
    _log(run, scope, record, agent="human", activity=activity, message=facts.get("message"),
         outcome=facts.get("outcome"))  # fmt: skip


def tool_failed(scope: Scope, record: Record) -> None:
    """Note a try of a tool that failed; the call may be tried again."""
    if scope.parent is not None:
        name = str(record.facts.get("tool", ""))
        tries, since, _ = scope.parent.failing_tools.get(name, (0, scope.record.at, record))
        scope.parent.failing_tools[name] = (tries + 1, since, record)


def tool_finished(run: Run, scope: Scope, record: Record) -> None:
    """Tell of a tool call, with the tries that it took."""
    name = str(record.facts.get("tool", ""))
    failing = scope.parent.failing_tools.pop(name, None) if scope.parent else None
    tries, since = (failing[0] + 1, failing[1]) if failing else (1, scope.record.at)
    _tool(run, scope, record, tries=tries, since=since, outcome="completed")


def tools_given_up(run: Run, scope: Scope) -> None:
    """Tell of the tool calls inside a scope that nobody tries again, now that it is over."""
    for name in sorted(scope.failing_tools):
        tries, since, record = scope.failing_tools[name]
        _tool(run, scope, record, tries=tries, since=since, outcome="failed")
    scope.failing_tools = {}


def model_called(run: Run, scope: Scope, record: Record) -> None:
    """Tell of a call of a model, with its tokens as far as the provider counts them."""
    facts = record.facts
    tokens: Mapping[str, Any] = facts.get("usage") or {}
    agent = facts.get("agent") or (
        owner.record.facts.get("agent") if (owner := scope.nearest("agent")) else ""
    )
    run.hold(
        Usage(
            run.flow_id,
            agent=str(agent or "flow"), model=str(facts.get("model", "")),
            input_tokens=_tokens(tokens, _INPUT), output_tokens=_tokens(tokens, _OUTPUT),
        )
    )  # fmt: skip


def memory_used(run: Run, record: Record) -> None:
    """Tell how often a memory was used, how long that took in all, and how often it failed."""
    name, _, outcome = record.kind.rpartition("_")
    act = _MEMORY_ACTS.get(name)
    if act is None:
        return
    numbers = run.history.memory.setdefault(f"memory_{act}", {"calls": 0, "failed": 0, "took_ms": 0.0})
    numbers["calls"] += 1
    numbers["failed"] += outcome == "failed"
    numbers["took_ms"] = round(numbers["took_ms"] + float(record.facts.get("took_ms", 0)), 3)
    run.tell(MemoryMeasured, record, metrics={f"memory_{act}": dict(numbers)})


def _tool(run: Run, scope: Scope, record: Record, *, tries: int, since: int, outcome: str) -> None:
    facts = record.facts
    _log(run, scope, record, agent=facts.get("agent", ""), activity="tool", tool=facts.get("tool"),
         task=facts.get("task"), outcome=outcome, tries=tries,
         execution_time_ms=max(0, record.at - since) / 1_000)  # fmt: skip


def _log(run: Run, scope: Scope, record: Record, *, agent: object, activity: str, **details: object) -> None:
    phase = scope.phase_scope
    said = {name: value for name, value in details.items() if value not in (None, "")}
    entry = {"agent": agent, "activity": activity, "phase": phase.phase if phase else None, "details": said}
    run.tell(AgentCollaborated, record, entry=entry)


def _tokens(usage: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((int(usage[name]) for name in names if usage.get(name) is not None), 0)
