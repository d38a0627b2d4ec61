"""The course of the demo: tables, flows, and what stands in the rows once everything is confirmed."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from masterflow import tracker
from masterflow.domain import EnrichmentError
from masterflow.domain.clock import to_microseconds
from masterflow.domain.events import ControlRequested, new_event, question_id
from masterflow.repository.database import session_factory
from masterflow.repository.status.reads import FlowScope
from masterflow.repository.tables import create_tables
from masterflow.scripts.broker import dead_letters
from masterflow.scripts.database import with_engine, with_session
from masterflow.scripts.demonstration.example_checks import EXAMPLE_CHECKS, run_check
from masterflow.scripts.demonstration.flows import CONTEXT, Act, OnProgress, run_acts
from masterflow.scripts.demonstration.servers import Crew
from masterflow.scripts.demonstration.stage import print_check, progress_bars
from masterflow.scripts.sample_flow import Scenario
from masterflow.scripts.sample_flow.phases import APPROVAL_KEY
from masterflow.scripts.terminal.flow_panel import FlowPanel
from masterflow.scripts.terminal.flow_view import FlowView, read_flow
from masterflow.scripts.terminal.whole import print_whole
from masterflow.tasks.dead_letters.letters import Selection
from masterflow.tasks.enqueue import Awaited, ConfirmationInbox, Publisher, QueueSettings, RequestMessage

_CONFIRM_TIMEOUT_S: Final = 60.0
_LOOK_INTERVAL_S: Final = 0.5

#: No flow over a file like the sample's takes more.
_PACES: Final = 100


class DemoFailed(EnrichmentError):
    """The rows do not hold everything that the flows reported."""


def set_the_stage() -> None:
    """Make sure that Postgres has the tables, and that Redis and the broker answer."""
    with_engine(create_tables)
    nothing = Awaited("", "", names=(CONTEXT.user_id,), digest=lambda _: None)
    ConfirmationInbox(QueueSettings(), CONTEXT.user_id).receive([nothing])
    with dead_letters() as letters:
        letters.count()


def perform(console: Console, csv: Path, crew: Crew, *, pace_s: float) -> "RunningAct":
    """Run the flows, show their rows once the workers have confirmed all, and return the one that asks."""
    acts = [Act(scenario) for scenario in Scenario]
    with progress_bars(console, acts) as on_progress:
        asking = RunningAct(acts.pop(), csv, on_progress, pace_s=pace_s)
        with_engine(
            lambda engine: run_acts(
                acts, csv, session_factory(engine), on_progress=on_progress, pace_s=pace_s
            )
        )
        acts.append(asking.wait_until_asked())
    with console.status("Waiting until the workers have confirmed every event", spinner="line"):
        _wait_until_confirmed(crew)
    _require_nothing_lost(acts)
    for view in with_session(partial(_views, acts=acts)):
        print_whole(console, FlowPanel(view))
        console.print()
    for sql in EXAMPLE_CHECKS.values():
        print_check(console, sql, with_engine(partial(_check, sql=sql, acts=acts)))
    crew.wait_until_visible()
    return asking


class RunningAct:
    """A flow in a thread of its own, such as the one that asks people and waits for them."""

    def __init__(self, act: Act, csv: Path, on_progress: OnProgress, *, pace_s: float) -> None:
        """Begin to run it."""
        self.act = act
        self._csv = csv
        self._on_progress = on_progress
        self._pace_s = pace_s
        self._has_asked = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=act.title, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Return whether it has ended."""
        return not self._thread.is_alive()

    def wait_until_asked(self) -> Act:
        """Return the flow once it waits for people.

        Raises:
            DemoFailed: it does not come to that.
        """
        if not self._has_asked.wait(_CONFIRM_TIMEOUT_S + _PACES * self._pace_s) or self.is_over:
            raise DemoFailed(f"The flow that asks people ended before: {self._failure}")
        return self.act

    def answer(self, value: str) -> None:
        """Answer for people who do not look, and wait until the flow has run on to its end.

        Raises:
            DemoFailed: the answer does not reach it.
        """
        asked = question_id(self.act.flow_id, APPROVAL_KEY, 0)
        event = new_event(
            ControlRequested,
            CONTEXT,
            self.act.flow_id,
            action="answer",
            by="demo",
            question_id=asked,
            answer=value,
        )
        request = RequestMessage(
            request_id=str(event.event_id),
            client_account_id=str(CONTEXT.client_account_id),
            events=json.dumps([event.model_dump(mode="json")]),
            signed_at=to_microseconds(event.occurred_at),
        )
        with closing(Publisher(QueueSettings())) as publisher:
            publisher.ask(request)
        self._thread.join(_CONFIRM_TIMEOUT_S + _PACES * self._pace_s)
        if not self.is_over or self._failure:
            raise DemoFailed(f"The answer did not bring the flow to its end: {self._failure}")

    def _run(self) -> None:
        try:
            with_engine(
                lambda engine: run_acts(
                    [self.act],
                    self._csv,
                    session_factory(engine),
                    on_progress=self._on_progress,
                    on_asked=self._has_asked.set,
                    pace_s=self._pace_s,
                )
            )
        except Exception as failure:  # noqa: BLE001  who waits for the flow tells it
            self._failure = failure
        finally:
            self._has_asked.set()


def answer_for_all(console: Console, crew: Crew, asking: RunningAct) -> None:
    """Answer what a flow asks, for want of people who look, and show its end."""
    console.print(f"Nobody is asked for an answer here, so the demo approves for “{asking.act.title}”.\n")
    asking.answer("approve")
    show_end(console, crew, asking)


def show_end(console: Console, crew: Crew, asking: RunningAct) -> None:
    """Show what became of the flow that was answered, once the workers have confirmed every event."""
    _wait_until_confirmed(crew)
    [view] = with_session(partial(_views, acts=[asking.act]))
    print_whole(console, FlowPanel(view))
    console.print()


def _wait_until_confirmed(crew: Crew) -> None:
    deadline = time.monotonic() + _CONFIRM_TIMEOUT_S
    while not tracker.flush(_LOOK_INTERVAL_S):
        crew.check()
        if time.monotonic() > deadline:
            raise DemoFailed("The worker does not confirm what the flows report; worker.log may say why.")


def _require_nothing_lost(acts: Sequence[Act]) -> None:
    if lost := tracker.outbox_status()["lost"]:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in lost.items())
        raise DemoFailed(f"Events were lost before they were sent ({reasons}); demo.log may say why.")
    with dead_letters() as letters:
        for act in acts:
            if found := letters.read(Selection(flow_id=str(act.flow_id)), limit=1):
                raise DemoFailed(f"An event could not be applied: {found[0].error}")


async def _views(session: AsyncSession, *, acts: Sequence[Act]) -> list[FlowView]:
    return [await read_flow(session, FlowScope.of(CONTEXT), act.flow_id) for act in acts]


async def _check(
    engine: AsyncEngine, *, sql: str, acts: Sequence[Act]
) -> dict[Act, Sequence[Mapping[Any, Any]]]:
    async with engine.connect() as connection:
        account = CONTEXT.client_account_id
        return {
            act: await run_check(connection, sql, flow_id=act.flow_id, client_account_id=account)
            for act in acts
        }
