"""Commands that let a worker take no more messages while it lives on, as kombu has been seen to."""

from typing import Any

from celery.worker.control import control_command

_original: list[Any] = []


@control_command()
def get_stuck(state: Any) -> dict[str, str]:
    qos = state.consumer.task_consumer.channel.qos
    _original.append(qos.can_consume)
    qos.can_consume = lambda: False
    return {"ok": "stuck"}


@control_command()
def get_unstuck(state: Any) -> dict[str, str]:
    qos = state.consumer.task_consumer.channel.qos
    qos.can_consume = _original.pop()
    return {"ok": "as before"}
