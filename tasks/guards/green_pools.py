"""Which of Celery's pools a worker may run on."""

from collections.abc import Mapping
from typing import Any, Final

from celery import signals

#: What they switch between in one thread waits here for one event loop and one connection.
_GREEN: Final = ("gevent", "eventlet")


def refuse_green_pools() -> None:
    """Let a worker that is to run on gevent or eventlet end in a sentence instead of crawling."""
    signals.celeryd_init.connect(refuse_green_pool, weak=False)


def refuse_green_pool(*, options: Mapping[str, Any], conf: Any, **_: Any) -> None:
    """Accept the pool of a worker that begins, or end it.

    Raises:
        SystemExit: it is gevent's or eventlet's.
    """
    pool = options.get("pool_cls") or conf.worker_pool
    name = pool if isinstance(pool, str) else getattr(pool, "__module__", "")
    for green in _GREEN:
        if green in name:
            raise SystemExit(
                f"This worker does not run on {green}: it has one event loop and one connection to Postgres a"
                " process; start it with --pool prefork (the default), threads or solo."
            )
