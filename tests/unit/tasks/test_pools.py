from types import SimpleNamespace

import pytest
from celery import signals
from celery.concurrency.prefork import TaskPool

from masterflow.tasks.app import app
from masterflow.tasks.guards.green_pools import refuse_green_pool

GREEN = type("TaskPool", (), {"__module__": "celery.concurrency.eventlet"})


@pytest.mark.parametrize("pool", ["gevent", "eventlet", "celery.concurrency.gevent:TaskPool", GREEN])
def test_a_worker_on_a_green_pool_ends_in_one_sentence(pool):
    with pytest.raises(SystemExit, match=r"does not run on (gevent|eventlet): .* --pool prefork"):
        signals.celeryd_init.send(sender="me", instance=None, conf=app.conf, options={"pool_cls": pool})
    with pytest.raises(SystemExit, match="does not run on"):
        refuse_green_pool(options={}, conf=SimpleNamespace(worker_pool=pool))


@pytest.mark.parametrize("pool", [None, "prefork", "threads", "solo", TaskPool])
def test_any_other_pool_is_accepted(pool):
    refuse_green_pool(options={"pool_cls": pool}, conf=app.conf)
