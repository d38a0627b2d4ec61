# tasks.py
import os

from celery import Celery

from masterflow import FlowContext, FlowThreadPool, create_progress_tracker, phase

app = Celery("tasks", broker=os.environ["REDIS_URL"])


@app.task
def import_data(flow_id, client_account_id, engagement_id, user_id):
    context = FlowContext(client_account_id=client_account_id, engagement_id=engagement_id, user_id=user_id)
    with create_progress_tracker(flow_id, context), phase("data_import"):
        return len("your import")


@app.task
def score_servers(flow_id, client_account_id, engagement_id, user_id, servers):
    context = FlowContext(client_account_id=client_account_id, engagement_id=engagement_id, user_id=user_id)
    tracker = create_progress_tracker(flow_id, context, phases=["collect", "score"])
    with tracker:  # an exception that leaves it ends the flow as failed
        with phase("collect"), FlowThreadPool(max_workers=2) as pool:
            found = list(pool.map(check, servers))
        with phase("score") as attempt:
            attempt.note(scored=len(found))
    tracker.complete_flow({"servers": len(found)})


@phase("check")  # runs in the threads of the pool, in the same flow
def check(server):
    return {"hostname": server}


# The page on adoption ends here.
@app.task
def run_whole_flow(flow_id, client_account_id, engagement_id, user_id):
    """Run a coroutine's flow from a task, with code of the application's own packages."""
    import asyncio

    from domain.servers import score
    from flows import run_flow

    context = FlowContext(client_account_id=client_account_id, engagement_id=engagement_id, user_id=user_id)
    asyncio.run(run_flow(flow_id, context, ["one", "two"]))
    return score("one")


@app.task
def fail(flow_id, client_account_id, engagement_id, user_id):
    """Fail in the middle of a phase."""
    context = FlowContext(client_account_id=client_account_id, engagement_id=engagement_id, user_id=user_id)
    with create_progress_tracker(flow_id, context), phase("data_import"):
        raise ValueError("no such file")
