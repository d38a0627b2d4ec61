"""The Celery application: `python -m celery -A tasks.app worker`."""

from celery import Celery

from tasks.kombu_guards import guard_stray_values, guard_torn_down_channels
from tasks.pool_guard import guard_handed_over_tasks

guard_torn_down_channels()
guard_stray_values()
guard_handed_over_tasks()

app = Celery("enrichment")
app.config_from_object("celeryconfig")
app.Task.Request = "tasks.requests:Request"
