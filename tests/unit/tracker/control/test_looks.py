"""A sender looks through its process's flows, which may be many, only when it is time to ask or to tell."""

import gc
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from masterflow.domain.tenant import FlowContext, flow_context
from masterflow.tasks.enqueue import QueueSettings
from masterflow.tracker.control.inbox import ControlInbox
from masterflow.tracker.control.registry import ControlRegistry, FlowControl, Tenant
from masterflow.tracker.outbox.losses import QuietLog
from tests.support.events.reported import CONTEXT

OTHER = flow_context(uuid4(), uuid4(), "ben")


class Registry(ControlRegistry):
    """Counts the looks at its flows."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def tenants(self) -> set[Tenant]:
        self.looks += 1
        return super().tenants()


def tenant_of(context: FlowContext) -> Tenant:
    return context.client_account_id, context.engagement_id


def test_a_sender_looks_at_its_flows_only_when_a_poll_is_due() -> None:
    registry = Registry()
    flows = [registry.control_of(CONTEXT, uuid4()) for _ in range(3)]
    # Nothing listens there, so the next poll is due after a pause.
    settings = QueueSettings.model_validate({"REDIS_URL": "redis://127.0.0.1:1/0"})
    inbox = ControlInbox(settings, registry, QuietLog())
    inbox.receive()
    looks = registry.looks
    for _ in range(1_000):
        assert (inbox.due_in_s() or 0) > 0
        inbox.receive()
    assert registry.looks == looks
    for flow in flows:
        flow.is_over = True
    inbox._poll_at, inbox._backoff = 0.0, type(inbox._backoff)()
    assert inbox.due_in_s() is None
    inbox.close()


def test_one_flow_that_runs_is_enough_to_know_it_of_its_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, looks = ControlRegistry(), Counter[Any]()
    flows = [registry.control_of(CONTEXT, uuid4()) for _ in range(1_000)]

    def is_over(flow: FlowControl) -> bool:
        looks[id(flow)] += 1
        return flow is flows[0]

    monkeypatch.setattr(FlowControl, "is_over", property(is_over), raising=False)
    assert registry.tenants() == {tenant_of(CONTEXT)}
    assert looks.total() <= 2


def test_a_tenant_is_told_nothing_once_its_flows_are_over_or_gone() -> None:
    registry = ControlRegistry()
    kept, gone = registry.control_of(CONTEXT, uuid4()), registry.control_of(OTHER, uuid4())
    assert registry.tenants() == {tenant_of(CONTEXT), tenant_of(OTHER)}
    kept.is_over = True
    del gone
    gc.collect()
    assert registry.tenants() == set()
    assert registry.flows() == [kept]
    again = registry.control_of(OTHER, uuid4())
    assert registry.tenants() == {tenant_of(OTHER)}
    assert registry.flows() == [kept, again]
