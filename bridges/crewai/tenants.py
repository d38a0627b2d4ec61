"""Whose flow a kickoff is: of the `with` block around it, else what `install` was given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from masterflow.bridges.crewai.fold.recent import Recent
from masterflow.domain import FlowContext, InputInvalid
from masterflow.domain.interruptions import pass_interruption
from masterflow.domain.tenant import flow_context
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.tenants import TenantIds

#: Whose flow it is; or what is given the flow and returns that, None for a flow that is nobody's.
Tenant = TenantIds | Callable[[Any], TenantIds | None]

_here: ContextVar[FlowContext | None] = ContextVar("tenant_of_kickoffs_here", default=None)

_MOST_KICKOFFS: Final = 5_000


@contextmanager
def tenant_here(context: TenantIds) -> Iterator[None]:
    """Let the kickoffs inside the block be this tenant's."""
    token = _here.set(_checked(context))
    try:
        yield
    finally:
        _here.reset(token)


def tenant_of_kickoff() -> FlowContext | None:
    """Return whose kickoffs are inside the block around the running code."""
    return _here.get()


class Tenants:
    """Whose each kickoff is, asked once for each."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant: FlowContext | Callable[[Any], TenantIds | None] = (
            tenant if callable(tenant) else _checked(tenant)
        )
        self._known: Recent[str, tuple[FlowContext | None]] = Recent(_MOST_KICKOFFS)

    @property
    def asks_flows(self) -> bool:
        """Return whether the flow has to be looked at, outside of any `with` block."""
        return callable(self._tenant) and _here.get() is None

    def known(self, kickoff: str) -> FlowContext | None:
        """Return whose a kickoff is, if that was asked before and it is anybody's."""
        found = self._known.get(kickoff)
        return found[0] if found else None

    def ask(self, kickoff: str, flow: Any) -> dict[str, FlowContext | None]:
        """Return whose a kickoff is, as `{"context": …}`; nothing if that was said before."""
        if not kickoff or self._known.get(kickoff):
            return {}
        context = self._ask(flow)
        self._known.put(kickoff, (context,))
        return {"context": context}

    def _ask(self, flow: Any) -> FlowContext | None:
        if (here := _here.get()) is not None:
            return here
        if not callable(self._tenant):
            return self._tenant
        try:
            found = self._tenant(flow)
            return None if found is None else _checked(found)
        except Exception as error:  # noqa: BLE001  the flow must not fail because of what its row needs
            pass_interruption(error)
            process_delivery.losses.note("tenant", error)
            return None


def _checked(context: TenantIds) -> FlowContext:
    if isinstance(context, FlowContext):
        return context
    try:
        return flow_context(context.client_account_id, context.engagement_id, context.user_id)
    except AttributeError as error:
        raise InputInvalid("The context names no tenant; pass a FlowContext.") from error
