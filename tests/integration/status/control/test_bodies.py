"""Bodies of requests that nobody can read: what is said about them helps whoever sent them."""

import httpx
import pytest

from masterflow.domain import FlowContext
from tests.support.events.reported_flows import Sessions, flow_of
from tests.support.processes.status_site import StatusSite

JSON, TEXT = "application/json", "text/plain"
OBJECT = "Send a JSON object as the body, with the header Content-Type: application/json."


@pytest.mark.parametrize(
    ("body", "media_type", "detail"),
    [
        (
            "approve",
            JSON,
            "The body is no JSON, from its character 0 on; send a JSON object.",
        ),
        (
            '{"answer": approve}',
            JSON,
            "The body is no JSON, from its character 11 on; send a JSON object.",
        ),
        ('"approve"', JSON, OBJECT),
        ("[]", JSON, OBJECT),
        ("null", JSON, OBJECT),
        ("", JSON, OBJECT),
        ('{"answer": "approve"}', TEXT, OBJECT),
        ("{}", JSON, "Look at answer."),
    ],
)
async def test_a_body_that_is_no_json_object_is_said_to_be_none(
    site: StatusSite, sessions: Sessions, context: FlowContext, body: str, media_type: str, detail: str
) -> None:
    flow_id = await flow_of(sessions, context, flow_status="processing")
    async with site.client(context, may_control=True) as client:
        refused: httpx.Response = await client.post(
            f"/api/v1/flows/{flow_id}/answer", content=body, headers={"Content-Type": media_type}
        )
    assert (refused.status_code, refused.json()["detail"]) == (422, detail)
