# api.py
from fastapi import FastAPI

from masterflow import page_router, status_router

app = FastAPI()
app.include_router(status_router)  # JSON under /api/v1/flows
app.include_router(page_router, prefix="/ops")  # pages under /ops/flows


@app.get("/")
async def home():
    return {"yours": True}


# The page on adoption ends here.
@app.get("/flows")
async def flows():
    """Stand where the pages would stand without a prefix."""
    return {"yours": "flows"}


@app.post("/imports/{flow_id}")
async def import_now(flow_id: str, client: str, engagement: str, user: str):
    """Run a flow in the API's own process."""
    from flows import run_flow
    from masterflow import FlowContext

    context = FlowContext(client_account_id=client, engagement_id=engagement, user_id=user)
    await run_flow(flow_id, context, ["one", "two", "three"])
    return {"imported": flow_id}
