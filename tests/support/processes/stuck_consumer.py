"""Lets a worker take no more messages while it lives on, for as long as a file says how."""

import os
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

_FILE = Path(os.environ["STUCK_FILE"])
_LOOK_S = 0.1


@worker_ready.connect
def look_often(sender: Any, **_: Any) -> None:
    how = ""

    def look() -> None:
        nonlocal how
        before, how = how, _FILE.read_text() if _FILE.exists() else ""
        if how == before:
            return
        # As kombu has been seen to, and as `celery control cancel_consumer` would.
        if "kombu" in (before, how):
            qos = sender.task_consumer.channel.qos
            qos.can_consume = (lambda: False) if how else type(qos).can_consume.__get__(qos)
        elif how == "cancelled":
            sender.cancel_task_queue("enrichment")
        else:
            sender.add_task_queue("enrichment")
        _FILE.with_suffix(".done").write_text(how)

    sender.timer.call_repeatedly(_LOOK_S, look)
