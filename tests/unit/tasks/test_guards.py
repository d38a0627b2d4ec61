import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.transport.redis import Channel, PrefixedRedisPubSub, QoS

from masterflow.tasks.guards.kombu import (
    guard_lost_acknowledgements,
    guard_stray_values,
    guard_subscriptions,
    guard_torn_down_channels,
)
from masterflow.tasks.guards.pool import guard_handed_over_tasks

GUARDS = {
    "torn-down channels": (guard_torn_down_channels, Channel, "_connparams"),
    "lost acknowledgements": (guard_lost_acknowledgements, QoS, "ack"),
    "lost rejections": (guard_lost_acknowledgements, QoS, "reject"),
    "stray values": (guard_stray_values, Channel, "_brpop_read"),
    "subscriptions": (guard_subscriptions, PrefixedRedisPubSub, "psubscribe"),
    "unsubscriptions": (guard_subscriptions, PrefixedRedisPubSub, "punsubscribe"),
    "handed-over tasks": (guard_handed_over_tasks, AsynPool, "flush"),
}


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_takes_the_place_of_what_it_guards(name, monkeypatch):
    guard, owner, method = GUARDS[name]
    before = getattr(owner, method)
    monkeypatch.setattr(owner, method, before)
    guard()
    assert getattr(owner, method) is not before


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_warns_when_what_it_guards_is_gone(name, monkeypatch):
    guard, owner, method = GUARDS[name]
    for kind in owner.__mro__:
        monkeypatch.delattr(kind, method, raising=False)
    with pytest.warns(
        RuntimeWarning, match=rf"\.{method} is gone, .* masterflow\.tasks\.guards\.\w+ is still"
    ):
        guard()
    assert not hasattr(owner, method)
