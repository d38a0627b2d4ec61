"""A flow, or what is new of it, on one line."""

from datetime import datetime
from typing import Any, Final

from rich.text import Text

from masterflow.domain.shown.times import clock
from masterflow.scripts.terminal.flow_news import News
from masterflow.scripts.terminal.flow_panel import status_text
from masterflow.scripts.terminal.text import shortened, terminal_text
from masterflow.status.views import FlowSummary

_NAME_CHARS: Final = 24
_TEXT_CHARS: Final = 200
_STATUS_WIDTH: Final = 22
_KIND_WIDTH: Final = 10


def summary_line(flow: FlowSummary) -> Text:
    """Return when a flow changed, which it is, its status, progress and phase, and what it says."""
    progress = "" if flow.progress_percentage is None else f"{flow.progress_percentage:.0f} %"
    line = _beginning(flow.updated_at, flow)
    line.append(f"{progress:>5}  ")
    line.append_text(_words(flow.current_phase or ""))
    if flow.liveness in ("lost", "silent"):
        line.append(f"  {flow.liveness}", "red")
    if flow.is_overdue:
        line.append("  overdue", "yellow")
    if flow.message:
        line.append("  ").append_text(terminal_text(flow.message, "dim"))
    return line


def news_line(flow: FlowSummary, news: News) -> Text:
    """Return when it happened, to which flow in which status, and what it is."""
    line = _beginning(news.at, flow)
    line.append(f"{news.kind:{_KIND_WIDTH}}  ", "dim")
    is_about_phase = news.phase and news.kind in {"error", "activity"}
    if is_about_phase:
        line.append_text(_words(f"{news.phase}: "))
    text = shortened(news.text, _TEXT_CHARS)
    return line.append_text(terminal_text(text, "red" if news.kind == "error" else ""))


def news_document(flow: FlowSummary, news: News) -> dict[str, Any]:
    """Return the same as a JSON object."""
    return {
        "at": news.at.isoformat() if news.at else None,
        "flow_id": str(flow.flow_id),
        "flow_name": flow.flow_name,
        "status": flow.status,
        "phase": news.phase,
        "kind": news.kind,
        "text": news.text,
        "entry": news.entry,
    }


def _beginning(at: datetime | None, flow: FlowSummary) -> Text:
    line = Text(f"{clock(at) if at else '':13}  ", "dim").append_text(Text(f"{flow.flow_id}  ", "not dim"))
    name = terminal_text(shortened(flow.flow_name or flow.flow_type, _NAME_CHARS))
    name.pad_right(_NAME_CHARS - len(name))
    status = status_text(flow.status)
    status.pad_right(_STATUS_WIDTH - len(status))
    return line.append_text(name).append("  ").append_text(status).append("  ")


def _words(name: str) -> Text:
    return terminal_text(name.replace("_", " "))
