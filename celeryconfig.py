"""How Celery runs here, in its own lower-case names; what is not here is a default we want."""

from typing import Any

from masterflow.domain.life.signs import SIGN_INTERVAL_S as _SIGN_INTERVAL_S
from masterflow.tasks import queues
from masterflow.tasks.settings import QueueSettings, RetentionSettings, WorkerSettings

_queue = QueueSettings()
_retention = RetentionSettings()
_worker = WorkerSettings()

_VISIBILITY_TIMEOUT_S = 120

# A consumer waits longer for its broker than a publisher, whose socket timeout is 0.5 s.
_ON_REDIS = {
    "visibility_timeout": _VISIBILITY_TIMEOUT_S,
    "unacked_restore_interval": 5,  # with the throttle: every 5 s, not 100, look for what a dead worker held
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 30,  # one that dies while it looks keeps the others from it for 30 s, not 300
    "socket_timeout": 5,  # none by default: a Redis that hangs would hang the worker
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,  # a half-open connection is noticed in 21 s, not in 51 s
    "max_retries": 0,  # whoever publishes has its own back-off
    "queue_order_strategy": "priority",  # in the order of task_queues: live events before a backfill
}
_ON_RABBITMQ = {
    "confirm_publish": True,  # a dead letter is kept once RabbitMQ says so
    "read_timeout": 5,  # as socket_timeout above
    "write_timeout": 5,
    "max_retries": 0,
}

broker_url = _queue.broker.url
broker_use_ssl: Any = queues.transport_tls(_queue)  # kombu would not check the certificate
broker_transport_options = queues.transport_options(_queue) | (
    _ON_RABBITMQ if queues.speaks_amqp(broker_url) else _ON_REDIS
)
broker_connection_timeout = 2  # 4 s by default, and every reconnection may wait for it
broker_connection_retry_on_startup = True  # a worker may start before its broker
broker_connection_max_retries = None  # for ever; by default a worker ends after 100
broker_channel_error_retry = True  # a Redis that just became a replica refuses writes on the channel
broker_pool_limit = 2  # a process sends little
broker_pool_acquire_timeout = 1  # by default, for ever
broker_heartbeat = 10  # RabbitMQ only: a lost peer is noticed in 20 s, not in 4 minutes

imports = [
    "masterflow.tasks.backfill.task",
    "masterflow.tasks.delivery.task",
    "masterflow.tasks.delivery.named_operations",
    "masterflow.tasks.delivery.requests",
    "masterflow.tasks.retention.task",
    "masterflow.tasks.watch.task",
]
accept_content = ["json"]  # nothing that could run code, whatever else is installed
task_ignore_result = True  # the row is the result

task_queues = [queues.queue(name, broker_url) for name in (queues.ENRICHMENT_QUEUE, queues.BACKFILL_QUEUE)]
task_default_queue = queues.ENRICHMENT_QUEUE  # also for names no task has: they become dead letters
task_create_missing_queues = False  # a misspelt queue is an error, not a queue nobody reads
task_routes = {name: {"queue": queues.BACKFILL_QUEUE} for name in ("backfill.*", "retention.*")}

task_acks_late = True  # a message is gone only after the commit
task_reject_on_worker_lost = True  # a killed child gives its message back
task_acks_on_failure = False  # no error counts as done; the tasks give back what they cannot finish
task_acks_on_timeout = False  # what hangs is given back too
task_time_limit = 60  # half the visibility timeout; a task gives its message back long before
visibility_timeout = _VISIBILITY_TIMEOUT_S  # Celery reads it in three places; the lowest of all apps wins
result_backend_transport_options = {"visibility_timeout": _VISIBILITY_TIMEOUT_S}
task_publish_retry = False  # a publisher has its own back-off

worker_consumer = (
    "masterflow.tasks.celery.consumer:Consumer"  # keeps what Celery drops: unknown tasks, unreadable messages
)
worker_prefetch_multiplier = (
    40  # what waits here is merged with one another; brokers still give each worker its share
)
worker_eta_task_limit = 100  # no task of ours waits, and those of others must not fill the memory
worker_cancel_long_running_tasks_on_connection_loss = False  # they are short, and a repetition is harmless
worker_max_tasks_per_child = 5_000  # against leaks, Celery's own included
worker_max_memory_per_child = 300_000  # KiB
worker_hijack_root_logger = False  # the host decides how it logs
worker_send_task_events = True  # Flower shows them; they carry no payload
worker_enable_remote_control = _worker.remote_control  # by default anybody at the broker may end a worker
worker_proc_alive_timeout = 30  # by default a child that takes 4 s to start on a busy host is killed

beat_scheduler = "masterflow.tasks.celery.scheduler:Scheduler"  # keeps no file, and shows that it lives
beat_max_loop_interval = 5  # so that it shows it often enough
_sent: dict[str, Any] = {"declare": []}  # beat needs no right to make what a worker makes
beat_schedule: dict[str, Any] = {
    "backfill": {
        "task": "backfill.run",
        "schedule": _worker.backfill_interval_s,
        "options": {"expires": _worker.backfill_interval_s, **_sent},  # runs that nobody took do not pile up
    },
    "watch": {
        "task": "watch.look",
        "schedule": _SIGN_INTERVAL_S,
        "options": {"expires": 600, **_sent},  # so long, as the clocks of beat and worker may be apart
    },
}
if _retention.is_on:
    beat_schedule["retention"] = {
        "task": "retention.run",
        "schedule": _retention.interval_s,
        "options": {"expires": _retention.interval_s, **_sent},
    }
