"""The Celery app as Flower needs it: it asks many things at once, and believes only what workers send."""

from typing import Any

from celery.app.control import Control
from flower import events  # type: ignore[import-untyped]  # it has no types
from flower.inspector import Inspector  # type: ignore[import-untyped]

from masterflow.scripts.flower_events import StrictReceiver
from masterflow.tasks.app import app
from masterflow.tasks.inbox.envelope import limit_unpacking

app.conf.broker_pool_limit = 10
events.EventReceiver = StrictReceiver
limit_unpacking()


class SilentControl(Control):
    """Sends nothing: no worker of ours would obey, and Flower's user of Redis may not."""

    def broadcast(self, *_: Any, **__: Any) -> None:
        """Do nothing; what Flower shows comes from the events that workers send."""


if not app.conf.worker_enable_remote_control:
    app.control_cls = f"{__name__}:SilentControl"
    Inspector.inspect_methods = ()

__all__ = ["app"]
