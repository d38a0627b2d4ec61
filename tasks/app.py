"""The Celery application: `python -m celery -A masterflow.tasks.app worker`."""

from celery import Celery

from masterflow.tasks.guards.green_pools import refuse_green_pools
from masterflow.tasks.guards.kombu import (
    guard_held_messages,
    guard_large_values,
    guard_lost_acknowledgements,
    guard_named_codecs,
    guard_stray_values,
    guard_subscriptions,
    guard_torn_down_channels,
)
from masterflow.tasks.guards.logs import guard_logs
from masterflow.tasks.guards.pool import guard_handed_over_tasks

guard_torn_down_channels()
guard_held_messages()
guard_large_values()
guard_lost_acknowledgements()
guard_named_codecs()
guard_stray_values()
guard_subscriptions()
guard_handed_over_tasks()
guard_logs()
refuse_green_pools()

app = Celery("enrichment")
app.config_from_object("masterflow.celeryconfig")
app.Task.Request = "masterflow.tasks.celery.requests:Request"
