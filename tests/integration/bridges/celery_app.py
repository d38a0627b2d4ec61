"""An application with tasks of its own, whose flows fill their rows."""

import os
import time
from uuid import UUID

from celery import Celery, chain
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from masterflow import FlowContext, current_flow, phase
from masterflow.bridges.celery import install

app = Celery("app", broker=os.environ["REDIS_URL"])
app.conf.update(task_default_queue="users", broker_connection_retry_on_startup=True, task_acks_late=False)

CONTEXT = FlowContext(client_account_id=UUID(int=1), engagement_id=UUID(int=2), user_id="ann")

install(CONTEXT, completed_by=["finish"])


@app.task(name="shop.load")
def load(*, flow_id: str) -> None:
    with phase("parse"):
        flow = current_flow()
        assert flow is not None
        flow.report_agent_activity("loader", "loaded")


@app.task(name="shop.flaky", bind=True, max_retries=3)
def flaky(self, *, flow_id: str) -> None:
    if self.request.retries < 2:
        # Celery sends the next attempt before this one ends; at once it might begin before.
        raise self.retry(exc=ConnectionError("503 from the provider"), countdown=1)


@app.task(name="shop.broken")
def broken(*, flow_id: str) -> None:
    raise ValueError("row 17 has no hostname")


@app.task(name="shop.slow", soft_time_limit=1)
def slow(*, flow_id: str) -> None:
    time.sleep(30)


@app.task(name="shop.stuck", time_limit=1)
def stuck(*, flow_id: str) -> None:
    while True:
        try:
            time.sleep(30)
        except SoftTimeLimitExceeded:
            continue


@app.task(name="shop.left_out")
def left_out(*, flow_id: str) -> None:
    raise Ignore


@app.task(name="shop.finish")
def finish(*, flow_id: str) -> None:
    pass


@app.task(name="shop.nobodys")
def nobodys() -> str:
    return "no flow"


def steps(flow_id: str) -> chain:
    names = (load, flaky, finish)
    return chain(*(one.si(flow_id=flow_id) for one in names))
