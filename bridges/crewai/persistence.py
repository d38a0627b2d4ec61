"""What crewAI saves of a flow by `@persist(...)`, kept in the flow's master row."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol

from pydantic import BaseModel, PrivateAttr
from pydantic_core import to_jsonable_python

from masterflow.bridges.crewai.tenants import tenant_of_kickoff
from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.interruptions import pass_interruption
from masterflow.tracker.outbox.process import process_delivery

#: Where the document of a flow holds what crewAI saves: `{"crewai": {"state": {...}, "pending": {...}}}`.
_KEY: Final = "crewai"


class FlowStates(Protocol):
    """What saves and loads documents of flows: `masterflow.BlockingFlowStates`."""

    def load(self, context: FlowContext, flow_id: str) -> dict[str, Any] | None:
        """Return a flow's document, or None."""

    def change(
        self,
        context: FlowContext,
        flow_id: str,
        phase: str | None,
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        """Save what a function makes of a flow's document."""


class _Saving:
    """What the methods of crewAI's persistence do, without crewAI."""

    strict: bool
    _states: FlowStates
    _context: FlowContext | None

    def init_db(self) -> None:
        """Do nothing: the tables are there."""

    def save_state(self, flow_uuid: str, method_name: str, state_data: dict[str, Any] | BaseModel) -> None:
        """Save a state once a method has ended, which becomes the current phase."""
        self._change(flow_uuid, method_name, lambda: {"state": _plain(state_data)})

    def load_state(self, flow_uuid: str) -> dict[str, Any] | None:
        """Return the newest state of a flow, or None."""
        state = self._kept(flow_uuid).get("state")
        return state if isinstance(state, dict) else None

    def save_pending_feedback(
        self, flow_uuid: str, context: Any, state_data: dict[str, Any] | BaseModel
    ) -> None:
        """Save a state, and what is needed to go on from it once there is feedback."""

        def pending() -> dict[str, Any]:
            state = _plain(state_data)
            return {"state": state, "pending": {"context": _plain(context.to_dict()), "state": state}}

        self._change(flow_uuid, context.method_name, pending)

    def load_pending_feedback(self, flow_uuid: str) -> tuple[dict[str, Any], Any] | None:
        """Return the state and the context of a flow that waits for feedback, or None."""
        pending = self._kept(flow_uuid).get("pending")
        if not isinstance(pending, dict):
            return None
        kind: Any = import_module("crewai.flow.async_feedback.types").PendingFeedbackContext
        return pending["state"], kind.from_dict(pending["context"])

    def clear_pending_feedback(self, flow_uuid: str) -> None:
        """Forget what waited for feedback, now that the flow goes on."""
        self._change(flow_uuid, None, lambda: {"pending": None})

    def _kept(self, flow_uuid: str) -> Mapping[str, Any]:
        return _kept_in(self._states.load(self._tenant(), flow_uuid) or {})

    def _change(self, flow_uuid: str, phase: str | None, make: Callable[[], Mapping[str, Any]]) -> None:
        # crewAI saves under names that are no methods, too, such as `_ask_checkpoint`.
        phase = None if phase is None or phase.startswith("_") else phase
        try:
            changes = make()
            self._states.change(
                self._tenant(), flow_uuid, phase, lambda found: {_KEY: {**_kept_in(found), **changes}}
            )
        except Exception as error:
            pass_interruption(error)
            if self.strict:
                raise
            process_delivery.losses.note("state", error)

    def _tenant(self) -> FlowContext:
        context = tenant_of_kickoff() or self._context
        if context is None:
            raise InputInvalid(
                "Say whose flow this is: PostgresFlowPersistence(states, context), or"
                " `with flow(context):` around its kickoff."
            )
        return context


@cache
def persistence_class() -> Any:
    """Return the class PostgresFlowPersistence, which needs crewAI and is made when it is first asked for."""
    base: Any = import_module("crewai.flow.persistence.base").FlowPersistence

    class PostgresFlowPersistence(_Saving, base):  # type: ignore[misc]  # crewAI is in another environment
        """Keeps the state of flows, their current phase and what waits for feedback in the master rows.

        A save that fails is logged and counted (`outbox_status()["lost"]["state"]`), and the flow goes on;
        with `strict=True` it fails the method. A load that fails always raises: a flow that began anew
        would overwrite what was saved.
        """

        persistence_type: str = "PostgresFlowPersistence"
        strict: bool = False
        _states: Any = PrivateAttr()
        _context: Any = PrivateAttr()

        def __init__(
            self, states: FlowStates, context: FlowContext | None = None, *, strict: bool = False
        ) -> None:
            """Save by these states, for the tenant of a `with flow(context):` block, else for this one."""
            super().__init__(strict=strict)
            self._states = states
            self._context = context

    return PostgresFlowPersistence


def _kept_in(document: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = document.get(_KEY)
    return kept if isinstance(kept, dict) else {}


def _plain(state: dict[str, Any] | BaseModel) -> dict[str, Any]:
    """Return a state as JSON, as crewAI's own persistence does; what has no form in it becomes its text."""
    dumped = state.model_dump() if isinstance(state, BaseModel) else state
    plain: dict[str, Any] = json.loads(json.dumps(to_jsonable_python(dumped, fallback=str)))
    return plain
