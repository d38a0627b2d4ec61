"""The Celery app as Flower needs it: it asks many things at once, each over a connection of its own."""

from masterflow.tasks.app import app

app.conf.broker_pool_limit = 10

__all__ = ["app"]
