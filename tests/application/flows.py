# flows.py
from masterflow import create_progress_tracker, current_flow, phase


@phase("field_mapping")  # a decorator, for functions and coroutines
async def map_fields(rows):
    if flow := current_flow():  # deep inside, without passing the tracker on
        await flow.report_agent_activity("Schema Expert", "mapped the columns")
    return {"hostname": "Server Name"}


async def run_flow(flow_id, context, rows):
    tracker = create_progress_tracker(flow_id, context)
    with tracker:
        with phase("data_import") as run:  # or a context manager
            run.note(rows=len(rows))
        mapping = await map_fields(rows)
    await tracker.complete_flow({"mapped": len(mapping)})
