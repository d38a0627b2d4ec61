"""What listens to crewAI's bus and stands at its hooks: it copies scalars into a queue and returns.

A handler that takes a second makes the flow a second longer, and one that raises SystemExit ends it: so
everything else happens in the consumer's thread, and nothing passes.
"""

import pkgutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final

from masterflow.bridges.crewai.consumer import Consumer
from masterflow.bridges.crewai.facts import EXTRACTS, extract, flow_id_of
from masterflow.bridges.crewai.fold.recent import Recent
from masterflow.bridges.crewai.tenants import Tenants
from masterflow.domain.ids import flow_uuid
from masterflow.domain.interruptions import pass_interruption
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.tracker import FlowProgressTracker, create_progress_tracker, current_flow

_MOST_FLOWS: Final = 1_000

_ENDS: Final = frozenset({"flow_finished", "flow_failed", "flow_paused"})


class Capture:
    """Registers with this process's crewAI, whatever its version can do."""

    def __init__(self, consumer: Consumer, tenants: Tenants, *, stoppable: bool = False) -> None:
        """Import crewAI, which takes seconds where it is not imported yet."""
        self.consumer = consumer
        self._stoppable = stoppable
        self._tenants = tenants
        self._trackers: Recent[str, FlowProgressTracker] = Recent(_MOST_FLOWS)
        self._stops: dict[str, str] = {}
        bus = import_module("crewai.events.event_bus")
        self.bus: Any = bus.crewai_event_bus
        self._scopes: Any = import_module("crewai.events.event_context")
        self._is_replaying: Callable[[], bool] = getattr(bus, "is_replaying", bool)
        self._version = str(getattr(import_module("crewai"), "__version__", ""))
        self._execution: Callable[[], str | None] = _optional("crewai.execution", "get_execution_uuid") or (
            lambda: None
        )
        self._hooks: Any = _optional("crewai.hooks", "InterceptionPoint") and import_module("crewai.hooks")
        self._classes = tuple(self._event_classes())
        self._tells_failure = any(_kind_of(one) == "flow_failed" for one in self._classes)

    # -- on and off

    def start(self) -> None:
        """Listen, from now on; doing it again changes nothing."""
        for kind in self._classes:
            self.bus.register_handler(kind, self.handle)
        for point, hook in self._points():
            if hook not in self._hooks.get_hooks(point):
                self._hooks.register_hook(point, hook)

    def stop(self) -> None:
        """Listen no more."""
        for kind in self._classes:
            self.bus.off(kind, self.handle)
        for point, hook in self._points():
            self._hooks.unregister_hook(point, hook)

    def has_begun(self) -> bool:
        """Return whether the bus has started its threads, which a forked child would not have."""
        return bool(getattr(self.bus, "_executor_initialized", False))

    def settle(self, timeout_s: float) -> None:
        """Wait for the handlers of what was emitted."""
        self.bus.flush(timeout_s)

    def request_stop(self, flow_id: str, reason: str) -> None:
        """Let a flow end as cancelled before its next step."""
        if len(self._stops) >= _MOST_FLOWS:
            self._stops.clear()
        self._stops[flow_id] = reason

    def forget(self, kickoff: str) -> None:
        """Let a kickoff go that is over, so that nobody is asked any more what is wanted of its flow."""
        self._trackers.drop(kickoff)

    # -- what crewAI calls

    def handle(self, source: Any, event: Any) -> None:
        """Copy what an event says; called in a thread of the bus, with a copy of the flow's context."""
        try:
            if self._is_replaying():
                return
            kind = event.type
            facts = extract(kind, source, event)
            if "flow_id" in facts:
                facts.update(self._of_flow(kind, source, event))
            elif kind == "method_execution_failed" and _is_reported(event.error):
                facts["is_reported"] = True
            self.consumer.put(
                (
                    kind,
                    event.event_id,
                    event.timestamp,
                    event.parent_event_id,
                    event.started_event_id,
                    event.emission_sequence or 0,
                    facts,
                )
            )
        except BaseException as error:  # noqa: BLE001  whatever it is, it would reach the user's kickoff
            process_delivery.losses.note("bridge", error)

    def _before_kickoff(self, _context: Any) -> None:
        """Listen again where `scoped_handlers()` has removed all handlers of the process."""
        handlers = getattr(self.bus, "_sync_handlers", {})
        if any(self.handle not in handlers.get(kind, ()) for kind in self._classes[:1]):
            self.start()

    def _before_step(self, context: Any) -> None:
        """Note when a method's code begins, and whose flow it is: in the thread of the flow itself."""
        if context.kind != "flow_method":
            return
        flow = context.flow
        try:
            kickoff = self._kickoff()
            self._note_step("began", self._tenants.ask(kickoff, flow))
            self._enter_flow(kickoff, flow)
            reason = self._stops.pop(flow_id_of(flow), None) if self._stops else None
            reason = reason or self._asked_to_stop(kickoff)
        except Exception as error:  # noqa: BLE001  a step goes on without its watch
            pass_interruption(error)
            process_delivery.losses.note("bridge", error)
            return
        if reason is not None:
            raise self._hooks.HookAborted(reason)

    def _asked_to_stop(self, kickoff: str) -> str | None:
        """Return why people want the flow to stop, and let its row say who."""
        tracker = self._trackers.get(kickoff) if self._stoppable else None
        stop = tracker.stop_requested if tracker else None
        if tracker is None or stop is None:
            return None
        tracker.update_metadata(stop.row_metadata)
        return str(stop)

    def _after_step(self, context: Any) -> None:
        """Note when a method's code has ended."""
        if context.kind == "flow_method":
            self._note_step("ended", {})

    # -- what is made of it

    def _of_flow(self, kind: str, flow: Any, event: Any) -> dict[str, Any]:
        """Return what only the flow itself knows, and whose it is where no step can tell."""
        if kind in _ENDS:
            return dict(self._tenants.ask(event.started_event_id or "", flow))
        if kind != "flow_started":
            return {}
        pending = getattr(flow, "_pending_feedback_context", None)
        facts = {
            "tells_failure": self._tells_failure,
            "version": self._version,
            "execution": self._execution() or "",
            "resumes": str(getattr(pending, "method_name", "") or ""),
        }
        if self._hooks and self._tenants.asks_flows and not facts["resumes"]:
            return facts
        return facts | self._tenants.ask(event.event_id, flow)

    def _enter_flow(self, kickoff: str, flow: Any) -> None:
        """Let hooks that are written by hand inside a method report on the flow's row."""
        context = self._tenants.known(kickoff)
        if context is None:
            return
        tracker = self._trackers.get(kickoff)
        if tracker is None:
            # By the row's id: one of another form would be told here, before there is a row.
            tracker = create_progress_tracker(flow_uuid(flow_id_of(flow)), context, ends_flow=False)
            self._trackers.put(kickoff, tracker)
        if current_flow() is not tracker:
            tracker.stay()

    def _note_step(self, word: str, facts: dict[str, Any]) -> None:
        scope_id = self._scopes.get_current_parent_id()
        if scope_id is not None:
            ids = (f"step_{word}", f"{scope_id}:{word}")
            said = {"ns": time.monotonic_ns(), **facts}
            self.consumer.put((*ids, datetime.now(UTC), scope_id, None, 0, said))

    def _kickoff(self) -> str:
        """Return the id of the outermost flow's start around the running step."""
        stack = getattr(self._scopes, "_event_id_stack", None)
        for event_id, kind in stack.get() if stack is not None else ():
            if kind == "flow_started":
                return str(event_id)
        return str(self._scopes.get_enclosing_parent_id() or "")

    def _points(self) -> Iterator[tuple[Any, Callable[[Any], None]]]:
        """Give the hooks that this crewAI has, and ours."""
        if not self._hooks:
            return
        points = self._hooks.InterceptionPoint
        for name, hook in (
            ("EXECUTION_START", self._before_kickoff),
            ("PRE_STEP", self._before_step),
            ("POST_STEP", self._after_step),
        ):
            if hasattr(points, name):
                yield getattr(points, name), hook

    def _event_classes(self) -> Iterator[Any]:
        """Give the classes of events that matter; dispatch is by exact class, so each is registered.

        Raises:
            ImportError: crewAI is too old for events that say where they belong.
        """
        types = import_module("crewai.events.types")
        for module in pkgutil.iter_modules(types.__path__):
            import_module(f"{types.__name__}.{module.name}")
        kinds = set(EXTRACTS)
        for name in ("SCOPE_STARTING_EVENTS", "SCOPE_ENDING_EVENTS"):
            kinds |= getattr(self._scopes, name, frozenset())
        base = import_module("crewai.events.base_events").BaseEvent
        if "emission_sequence" not in base.model_fields:
            raise ImportError("This crewai is older than 1.10.1: its events do not say where they belong.")
        for one in _subclasses(base):
            if _kind_of(one) in kinds:
                yield one


def _is_reported(error: object) -> bool:
    """Return whether a hook that was written by hand, inside the method, has reported its error."""
    tracker = current_flow()
    return tracker is not None and tracker.record.has_told(error)


def _subclasses(kind: Any) -> Iterator[Any]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def _kind_of(event_class: Any) -> str:
    field = event_class.model_fields.get("type")
    return str(getattr(field, "default", ""))


def _optional(module: str, name: str) -> Any:
    """Return what a module has under a name, if this crewAI has both."""
    try:
        return getattr(import_module(module), name, None)
    except ModuleNotFoundError:
        return None
