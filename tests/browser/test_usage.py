from typing import Any

from playwright.sync_api import expect

from masterflow.domain import FlowContext
from masterflow.domain.events import MetadataUpdated, UsageReported
from masterflow.domain.usage.amounts import Usage
from tests.browser.test_status_page import Do, OpenPage, told_flow, violations
from tests.support.events.reported_flows import told


def used(agent: str, model: str, used: Usage, flow: Usage) -> tuple[Any, dict[str, Any]]:
    counted = {"by": "a-process", "agent": used, "flow": flow}
    return UsageReported, {"agent": agent, "model": model, "used": used, "counted": counted}


def test_a_page_shows_what_agents_used_and_an_exceeded_budget(
    open_page: OpenPage, do: Do, context: FlowContext, axe_script: str
) -> None:
    first, second = Usage(12, 40_960, 5_120, 1_234_567_890, 0), Usage(1, 33, 0, 0, 1)
    flow_id = told_flow(
        do,
        context,
        told("mapping", "processing"),
        (MetadataUpdated, {"updates": {"usage_budget": {"usd": 1, "tokens": 100_000}}}),
        used("Schema Expert", "small-model", first, first),
        used("<b>Critic</b>", "local", second, first.plus(second)),
    )
    page = open_page(f"/flows/{flow_id}")
    expect(page.get_by_text("Over budget")).to_be_visible()
    expect(page.get_by_role("row", name="Schema Expert")).to_contain_text("$1.23")
    expect(page.get_by_role("row", name="Critic")).to_contain_text("cost unknown")
    expect(page.get_by_text("of $1.00 and 100,000 tokens")).to_have_count(2)
    expect(page.get_by_role("heading", name="Metrics")).to_have_count(0)
    assert violations(page, axe_script) == []
