"""Where flows are shown while they go on: a terminal that is drawn anew, or lines for logs and programs."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from masterflow.scripts.terminal.flow_lines import summary_line
from masterflow.scripts.terminal.flow_panel import FlowPanel, flow_table
from masterflow.scripts.terminal.flow_view import FlowView
from masterflow.scripts.terminal.text import complain, say_json, terminal_text
from masterflow.status.views import FlowSummary

_ATTENDS: Final = "Following from now on; Ctrl-C ends it."
_BACK: Final = "Postgres answers again."


class Screen(Protocol):
    """Shows one flow, or many, and whether that is still up to date."""

    def show_flow(self, view: FlowView) -> None:
        """Show one flow as it is now."""
        ...

    def show_flows(self, flows: Iterable[FlowSummary], changed: Iterable[FlowSummary]) -> None:
        """Show flows as they are now, some of which have changed."""
        ...

    def show_outage(self, sentence: str) -> None:
        """Say that nothing is heard for now."""
        ...

    def show_recovery(self) -> None:
        """Say that it goes on."""
        ...


class Doubt:
    """Tells on stderr when it begins, once that the database is away, and once that it is back."""

    def __init__(self) -> None:
        self._is_away = False

    def attend(self) -> None:
        """Say that from now on nothing is missed."""
        complain(_ATTENDS)

    def show_outage(self, sentence: str) -> None:
        """Say once that nothing is heard."""
        if not self._is_away:
            complain(f"{sentence} Waiting for it.")
        self._is_away = True

    def show_recovery(self) -> None:
        """Say that it goes on, if that was in doubt."""
        if self._is_away:
            complain(_BACK)
        self._is_away = False


class Lines(Doubt):
    """A line for each state that a flow is seen in, as JSON or for people."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        super().__init__()
        self._console = console
        self._as_json = as_json

    def show_flow(self, view: FlowView) -> None:
        """Print a line about one flow; as JSON, with all there is."""
        self._print(view.status, view.as_json)

    def show_flows(self, _flows: Iterable[FlowSummary], changed: Iterable[FlowSummary]) -> None:
        """Print a line about each flow that has changed."""
        for flow in changed:
            self._print(flow, partial(flow.model_dump, mode="json"))

    def _print(self, flow: FlowSummary, document: Callable[[], dict[str, Any]]) -> None:
        if self._as_json:
            say_json(document())
        else:
            self._console.print(summary_line(flow), soft_wrap=True)


class Drawing:
    """A terminal on which the newest state replaces the one before."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._shown: RenderableType = ""
        self._doubt: RenderableType | None = None

    def show_flow(self, view: FlowView) -> None:
        """Draw a flow's panel."""
        self._shown = FlowPanel(view)
        self._draw()

    def show_flows(self, flows: Iterable[FlowSummary], _changed: Iterable[FlowSummary]) -> None:
        """Draw the list."""
        listed = list(flows)
        self._shown = flow_table(listed) if listed else "This engagement has no flows yet."
        self._draw()

    def show_outage(self, sentence: str) -> None:
        """Say below what is shown that it is not up to date."""
        self._doubt = terminal_text(f"{sentence} Waiting for it.", "yellow")
        self._draw()

    def show_recovery(self) -> None:
        """Take that back."""
        if self._doubt is not None:
            self._doubt = None
            self._draw()

    def _draw(self) -> None:
        hint = Text("Ctrl-C ends this.", "dim")
        self._live.update(Group(self._shown, self._doubt or hint), refresh=True)
