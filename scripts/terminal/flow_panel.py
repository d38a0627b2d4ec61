"""One flow as a terminal shows it: its phases with times, what failed, and who did what."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from masterflow.domain.clock import parse_time
from masterflow.domain.shown.times import moment
from masterflow.scripts.terminal.flow_view import FlowView
from masterflow.scripts.terminal.text import shortened, terminal_text
from masterflow.scripts.terminal.whole import Record, Whole, is_unbounded
from masterflow.status import floors, usage
from masterflow.status.control.lines import lines_of
from masterflow.status.durations import lasting
from masterflow.status.entry_texts import entry_text
from masterflow.status.flow.part import WHOLE, Part
from masterflow.status.flow.usual import UsualTime, remaining_words, slower_words, usual_words
from masterflow.status.summary.life import life_sentence
from masterflow.status.views import Errors, FlowStatus, FlowSummary

_STYLES: Final = {
    "completed": "green",
    "failed": "red",
    "cancelled": "red",
    "paused": "yellow",
    "waiting_for_approval": "yellow",
    "processing": "cyan",
}
_MARKS: Final = {"green": "✔", "red": "✘", "yellow": "⏸", "cyan": "▶"}
_BAR_WIDTH: Final = 16
#: Around the title: corners, rules and blanks.
_FRAME: Final = 6
_MOST_METRICS: Final = 6
_NAME_CHARS: Final = 60


class FlowPanel:
    """A flow as tables in a frame; in a pipe, whose lines have no end, without one."""

    def __init__(self, view: FlowView, part: Part = WHOLE) -> None:
        """Show a part of the long lists."""
        self._view, self._part = view, part

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the name, the facts and a table of everything that there is."""
        status, activity = self._view.status, self._view.activity
        parts: list[RenderableType] = [_facts(self._view), "", Whole(_phases(self._view, self._part))]
        errors = self._part.of_errors(self._view.errors)
        if errors.errors:
            parts += ["", Whole(_errors(errors))]
        if len(errors.errors) < len(self._view.errors.errors):
            parts += ["", f"{len(errors.errors)} of {errors.matching} errors that match are shown."]
        if asked := _asked(status):
            parts += ["", Whole(asked)]
        if status.usage and status.usage.agents:
            parts += ["", Whole(_usage(status.usage.agents))]
        if agents := {name: v for name, v in activity.agent_performance_metrics.items() if name != "usage"}:
            parts += ["", Whole(_agents(agents))]
        title = Text.assemble(_name(status, "bold"), "  ", status_text(status.status))
        if is_unbounded(options):
            yield Group(title, *parts)
        elif len(title) + _FRAME > options.max_width:
            yield Group(_name(status, "bold"), status_text(status.status), *parts)
        else:
            yield Panel(Group(*parts), title=title, title_align="left", border_style="dim", padding=(0, 1))


def flow_table(flows: Iterable[FlowSummary], *, are_several: bool = False) -> Whole:
    """Return flows as a table, two lines each; where they are of several engagements, three."""
    table = _table("status", "flow", "progress")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for flow in flows:
        created = f"\n{moment(flow.created_at)}" if flow.created_at else "\n"
        progress = "" if flow.progress_percentage is None else f"{flow.progress_percentage:.0f} %"
        retried = _retries(flow) if flow.retry_count else ""
        skipped = f"{flow.skipped_events} skipped" if flow.skipped_events else ""
        life = flow.liveness if flow.liveness in ("lost", "silent") else ""
        late = "overdue" if flow.is_overdue else ""
        phase = _words(flow.current_phase or "")
        whose = f"\nof {flow.engagement_id}" if are_several else ""
        told = (life or "", late, progress, retried, skipped)
        table.add_row(
            status_text(flow.status).append(created, "dim"),
            _name(flow).append(f"\n{flow.flow_id}{whose}", "dim"),
            Text(", ".join(filter(None, told))).append("\n").append_text(phase),
        )
    return Whole(table)


def status_text(word: str) -> Text:
    """Return a status, a phase or whatever a flow is doing, marked if it is a status."""
    style = _STYLES.get(word, "")
    mark = f"{_MARKS[style]} " if style else ""
    return Text(mark, style).append_text(_words(word))


def _name(flow: FlowSummary, style: str = "") -> Text:
    return terminal_text(shortened(flow.flow_name or flow.flow_type, _NAME_CHARS), style)


def _facts(view: FlowView) -> RenderableType:
    status, approval = view.status, view.status.waiting_for_approval
    progress = "" if status.progress_percentage is None else f"{status.progress_percentage:.0f} %"
    facts = {
        "flow": str(status.flow_id),
        "progress": " ".join(part for part in (progress, status.progress_note) if part),
        "phase": (status.current_phase or "").replace("_", " "),
        "message": status.message or "",
        "process": life_sentence(status),
        "overdue": _overdue(view),
        "waits since": _clock(approval.since if approval else None),
        "time": _time(view),
        "counts": ", ".join(_counts(view)),
        "missing": floors.skipped_sentence(status.skipped_events, status.at_least),
        "usage": _used(view),
        "memory": _pairs(view.activity.memory_usage_metrics),
    }
    return Record({name: terminal_text(fact) for name, fact in facts.items() if fact})


def _time(view: FlowView) -> str:
    whole = view.usual.whole
    if whole.took_ms is None or whole.p50_ms is None:
        return ""
    words = (
        f"{lasting(whole.took_ms)}{' so far' if whole.is_running else ''}",
        f"{usual_words(whole)} among {whole.flows} flows",
        slower_words(whole),
        remaining_words(view.usual.remaining),
    )
    return "; ".join(filter(None, words))


def _overdue(view: FlowView) -> str:
    return ", ".join(
        f"{late.phase.replace('_', ' ') if late.phase else 'the flow'} since {_clock(late.deadline_at)}"
        for late in view.status.overdue
    )


def _counts(view: FlowView) -> list[str]:
    status = view.status
    return [
        _count(status.transition_count, "transition", known_by=(floors.TRANSITIONS, status)),
        _count(status.error_count, "error", known_by=(floors.ERRORS, status)),
        _retries(status),
        _count(
            status.collaboration_count,
            "agent entry",
            "agent entries",
            known_by=(floors.COLLABORATIONS, status),
        ),
    ]


def _retries(flow: FlowSummary) -> str:
    return _count(flow.retry_count, "retry", "retries", known_by=(floors.RETRIES, flow))


def _phases(view: FlowView, part: Part) -> Table:
    usual = {one.phase: one for one in view.usual.phases}
    has_past = any(one.p50_ms is not None for one in view.usual.phases)
    table = _table("phase", "status", "started", "time>", "", "attempts", *(("usual",) if has_past else ()))
    for column in table.columns:
        column.no_wrap = True
    longest_ms = max((phase.execution_time_ms or 0 for phase in view.status.phase_details), default=0)
    starts = {bar.phase: bar.started_at for bar in reversed(view.timeline.bars)}
    errors = Counter(entry_text(entry.get("phase")) for entry in view.errors.errors)
    for phase in view.status.phase_details:
        if not part.has_phase(phase.phase):
            continue
        table.add_row(
            _words(phase.phase),
            status_text(phase.status or ""),
            Text(_clock(starts[phase.phase]) if phase.phase in starts else "time unknown"),
            lasting(phase.execution_time_ms) if phase.execution_time_ms is not None else "",
            Bar(longest_ms or 1, 0, phase.execution_time_ms or 0, width=_BAR_WIDTH, color="cyan"),
            _attempts(
                floors.figure(phase.attempts, floors.attempts_name(phase.phase), view.status.at_least),
                errors[phase.phase],
                view.status,
            ),
            *((_usual(usual[phase.phase]),) if has_past else ()),
        )
    return table


def _usual(time: UsualTime) -> Text:
    return Text(slower_words(time), "yellow") if time.is_slower else Text(usual_words(time), "dim")


def _attempts(attempts: str, errors: int, flow: FlowSummary) -> Text:
    text = Text(attempts, "yellow" if errors else "")
    count = _count(errors, "error", known_by=(floors.ERRORS, flow))
    return text.append(f" ({count})", "red") if errors else text


def _errors(view: Errors) -> Table:
    """Return the causes that several errors have, then each error."""
    table = _table("error in", "at", "what")
    for cause in view.causes:
        if cause.errors > 1:
            seen = _clock(cause.last_seen_at) or "time unknown"
            words = terminal_text(f"{cause.errors} × {cause.cause}", "bold red")
            table.add_row(_words(", ".join(cause.phases)), seen, words)
    for entry in reversed(view.errors):
        phase, error = entry_text(entry.get("phase")), entry_text(entry.get("error"))
        at = _clock(parse_time(entry.get("timestamp"))) or "time unknown"
        table.add_row(_words(phase), at, terminal_text(error, "red"))
    return table


def _asked(status: FlowStatus) -> Table | None:
    """Return what the flow asks, and what was asked of it and by it; None if that is nothing."""
    table = _table("asks", "at", "what", "answer or reason")
    for question in status.questions:
        if question.state == "open":
            answers = ", ".join(question.options) or "not yet"
            what = terminal_text(f"{question.key}: {question.question}", "yellow")
            table.add_row(Text("the flow", "yellow"), _clock(question.asked_at), what, terminal_text(answers))
    for line in lines_of(status.requests, status.questions):
        words = map(terminal_text, (line.what, line.said))
        table.add_row(terminal_text(line.who), _clock(line.at), *words)
    return table if table.row_count else None


def _agents(metrics: dict[str, Any]) -> Table:
    """Return a column per metric that agents have; what is no agent's stands in the first column alone."""
    agents = {name: found for name, found in sorted(metrics.items()) if isinstance(found, dict)}
    known = sorted({name for found in agents.values() for name in found})
    names, others = known[:_MOST_METRICS], known[_MOST_METRICS:]
    more = ("more in --json>",) if others else ()
    table = _table("agent", *(f"{_words(name).plain}>" for name in names), *more)
    for agent, found in agents.items():
        count = str(len(found.keys() & set(others)))
        values = (found.get(name, "") for name in names)
        table.add_row(terminal_text(agent), *map(terminal_text, values), *(count for _ in more))
    for name in sorted(metrics.keys() - agents.keys()):
        table.add_row(terminal_text(f"{name} {metrics[name]}"))
    return table


def _used(view: FlowView) -> str:
    found = view.status.usage
    if found is None:
        return ""
    of_budget = f" of {usage.budget(found)}" if usage.budget(found) else ""
    return f"{usage.used(found)}{of_budget}{', over budget' if found.is_over_budget else ''}"


def _usage(agents: Iterable[usage.AgentUsage]) -> Table:
    table = _table("agent", "models", "calls>", "tokens in>", "tokens out>", "cost>")
    for one in agents:
        tokens = f"{one.input_tokens:,}", f"{one.output_tokens:,}"
        words = one.agent, ", ".join(one.models), usage.calls(one), *tokens, usage.cost(one)
        table.add_row(*map(terminal_text, words))
    return table


def _words(name: str) -> Text:
    return terminal_text(name.replace("_", " "))


def _table(*columns: str) -> Table:
    """Return an empty table; a column whose name ends with > is aligned to the right."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in columns:
        justify: JustifyMethod = "right" if name.endswith(">") else "left"
        table.add_column(Text(name.rstrip(">")), justify=justify, overflow="fold")
    return table


def _count(
    number: int, word: str, words: str = "", *, known_by: tuple[str, FlowSummary] | None = None
) -> str:
    """Return a number with its word; `known_by` is the name of the number and the flow that may know more."""
    shown = floors.figure(number, known_by[0], known_by[1].at_least) if known_by else str(number)
    return f"{shown} {word if number == 1 else words or f'{word}s'}"


def _pairs(found: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sorted(found.items()))


def _clock(at: datetime | None) -> str:
    return moment(at) if at else ""
