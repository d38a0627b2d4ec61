"""The Celery app as Flower needs it: it asks many things at once, each over a connection of its own."""

from typing import Any

from celery.app.control import Control
from flower.inspector import Inspector  # type: ignore[import-untyped]  # it has no types

from masterflow.tasks.app import app

app.conf.broker_pool_limit = 10


class SilentControl(Control):
    """Sends nothing: no worker of ours would obey, and Flower's user of Redis may not."""

    def broadcast(self, *_: Any, **__: Any) -> None:
        """Do nothing; what Flower shows comes from the events that workers send."""


if not app.conf.worker_enable_remote_control:
    app.control_cls = f"{__name__}:SilentControl"
    Inspector.inspect_methods = ()

__all__ = ["app"]
