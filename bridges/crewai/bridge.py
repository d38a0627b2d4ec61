"""The bridge of this process: switched on once, and off again by tests."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from masterflow.bridges.crewai.capture import Capture
from masterflow.bridges.crewai.consumer import Consumer
from masterflow.bridges.crewai.fold.rules import DEFAULT_FLOW_TYPE, Rules, make_rules
from masterflow.bridges.crewai.records import Record
from masterflow.bridges.crewai.tenants import Tenant, Tenants, tenant_here
from masterflow.domain import InputInvalid
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.tenants import TenantIds

#: What a child that was forked too late hears, once.
FORKED: Final = (
    "This process was forked after crewAI's event bus had started its threads, so a kickoff here hangs:"
    " start workers by spawn, as threads or with the solo pool, or run the first flow after the fork."
)

_SETTLE_S: Final = 2.0


class _Bridge:
    """A capture, and the consumer of what it captures; a forked child gets a consumer of its own."""

    def __init__(
        self,
        tenant: Tenant,
        rules: Rules,
        listen: Callable[[Record], object] | None,
        *,
        stoppable: bool,
    ) -> None:
        self.forked_late = False
        self.rules = rules
        self.listen = listen
        self.consumer = self.new_consumer()
        self.capture = Capture(self.consumer, Tenants(tenant), stoppable=stoppable)

    def new_consumer(self) -> Consumer:
        return Consumer(self.rules, listen=self.listen, end=self._forget)

    def _forget(self, kickoff: str) -> None:
        self.capture.forget(kickoff)

    def flush(self, timeout_s: float) -> None:
        self.capture.settle(min(timeout_s, _SETTLE_S))
        self.consumer.flush(min(timeout_s, _SETTLE_S))


_lock = threading.RLock()
_bridge: _Bridge | None = None
_is_watching_forks = False


def install(
    context: Tenant,
    *,
    create_rows: bool = True,
    phases: Sequence[str] | Mapping[str, str] | None = None,
    flow_type: str = DEFAULT_FLOW_TYPE,
    listen: Callable[[Record], object] | None = None,
    stoppable: bool = False,
) -> None:
    """Let every `kickoff()` of this process fill its master row; once per process, from any thread.

    `context` names the tenant, or is given the flow, once its state is complete, and returns the tenant;
    None stands for a flow that is to be left alone. `with flow(context):` around a kickoff goes before it.
    A missing row is made unless `create_rows` is false, with `flow_type`. `phases` names the phases that
    progress is made of, or maps methods to the names of their phases. `listen` is given each record, in
    the consumer's thread: for recording streams. With `stoppable`, a flow that somebody asked to stop ends as
    `cancelled` before its next method.

    Called again it changes nothing; `uninstall` first to change the context. Without crewAI 1.10.1 or newer
    it fails with ImportError.

    Raises:
        InputInvalid: the flow type is unknown, the phases are one text, or the context is no tenant.
    """
    global _bridge, _is_watching_forks  # noqa: PLW0603
    rules = make_rules(create_rows=create_rows, flow_type=flow_type, phases=phases)
    if context is None:
        raise InputInvalid("Say whose flows these are: pass a FlowContext, or what returns one for a flow.")
    with _lock:
        if _bridge is None:
            made = _Bridge(context, rules, listen, stoppable=stoppable)
            made.capture.start()
            process_delivery.feeds.append(made.flush)
            _bridge = made
        else:
            _bridge.capture.start()
        if not _is_watching_forks:
            os.register_at_fork(after_in_child=_begin_in_child)
            _is_watching_forks = True


def uninstall() -> None:
    """Report what was captured, and listen no more; without a bridge nothing happens."""
    global _bridge
    with _lock:
        made, _bridge = _bridge, None
        if made is not None:
            made.capture.stop()
            made.flush(_SETTLE_S)
            made.consumer.stop()
            process_delivery.feeds.remove(made.flush)


def flow(context: TenantIds) -> AbstractContextManager[None]:
    """Let the kickoffs inside a `with` block be this tenant's; one that names no tenant is InputInvalid."""
    return tenant_here(context)


def request_stop(flow_id: str, reason: str = "It was asked to stop.") -> None:
    """Let a flow of this process end as `cancelled` before its next method, from any thread.

    crewAI before 1.15.5 has no place to stop at; there the flow runs on.
    """
    with _lock:
        if _bridge is not None:
            _bridge.capture.request_stop(flow_id, reason)


def status() -> dict[str, int]:
    """Return what became of crewAI's events in this process; empty without a bridge.

    `{"captured_events", "waiting_events", "shed_events", "ignored_flows"}`; what was lost stands in
    `outbox_status()["lost"]` under `bridge`, `bridge_full` and `tenant`.
    """
    made = _bridge
    return made.consumer.status() if made is not None else {}


def has_forked_late() -> bool:
    """Return whether this process has crewAI's bus from its parent, without the threads that it needs."""
    return _bridge is not None and _bridge.forked_late


def _begin_in_child() -> None:
    """Let the child have a queue and a thread of its own; that crewAI's bus has neither is only told."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()
    made = _bridge
    if made is None:
        return
    made.consumer = made.new_consumer()
    made.capture.consumer = made.consumer
    made.forked_late = made.capture.has_begun()
    if has_forked_late():
        process_delivery.losses.log.warning("fork", FORKED)
