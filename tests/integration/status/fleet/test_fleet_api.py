from uuid import uuid4

from sqlalchemy import text

from masterflow.domain import FlowContext
from masterflow.domain.events import ErrorOccurred, PhaseTimed, StatusChanged
from masterflow.status.fleet.views import FleetView
from tests.support.events.reported_flows import Sessions, flow_of, report
from tests.support.eventually import eventually
from tests.support.processes.status_site import StatusSite


def _fleet(site: StatusSite, context: FlowContext, **options: object) -> FleetView:
    answer = site.get("/api/v1/fleet", headers=site.bearer(context), params=options)
    assert answer.status_code == 200, answer.text
    return FleetView.model_validate_json(answer.content)


async def test_a_fleet_without_flows_has_numbers_too(site: StatusSite, context: FlowContext) -> None:
    for window in ("hour", "day", "week", "month"):
        view = _fleet(site, context, window=window)
        assert view.window.name == window
        assert view.window.is_whole
        assert view.now.by_status == {}
        assert view.failure_rate is None
        assert view.over_time
        assert not view.phases
        assert not view.causes


async def test_the_numbers_follow_what_is_reported_and_keep_to_the_viewers_engagements(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    other = context.model_copy(update={"engagement_id": uuid4()})
    failing = await flow_of(sessions, context)
    await flow_of(sessions, other)
    assert _fleet(site, context).now.by_status == {"initialized": 1}
    await report(
        sessions,
        context,
        failing,
        (PhaseTimed, {"phase": "data_import", "execution_time_ms": 1200.0}),
        (ErrorOccurred, {"phase": "data_import", "error": "no answer within 30 s"}),
        (StatusChanged, {"status": "failed"}),
    )
    view = eventually(lambda: (found := _fleet(site, context)).in_all.failed and found, timeout_s=30)
    assert view
    assert view.now.by_status == {}
    assert view.started_by_status == {"failed": 1}
    assert view.failure_rate == 1
    assert [(one.phase, one.now.count) for one in view.phases] == [("data_import", 1)]
    assert [(one.cause, one.flows) for one in view.causes] == [("no answer within # s", 1)]
    both = site.get("/api/v1/fleet", headers=site.bearer(context, engagements=[other.engagement_id]))
    assert both.json()["in_all"]["started"] == 2


async def test_flows_of_another_account_do_not_count(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    # Even one that says that it is of the same engagement.
    stranger = context.model_copy(update={"client_account_id": uuid4()})
    await flow_of(sessions, stranger)
    assert _fleet(site, context).in_all.started == 0
    assert _fleet(site, stranger).in_all.started == 1


async def test_who_is_not_signed_in_or_asks_for_another_window_is_told_so(
    site: StatusSite, context: FlowContext
) -> None:
    assert site.get("/api/v1/fleet").status_code == 401
    answer = site.get("/api/v1/fleet", headers=site.bearer(context), params={"window": "year"})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:enrichment:problem:invalid"


async def test_a_flow_that_began_at_no_time_counts_while_it_is_open(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    flow_id = await flow_of(sessions, context)
    async with sessions.begin() as db:
        await db.execute(
            text(
                "update migration.crewai_flow_state_extensions set created_at = null, updated_at = 'infinity'"
                " where flow_id = :flow_id"
            ),
            {"flow_id": flow_id},
        )
    view = _fleet(site, context, window="month")
    assert view.now.by_status == {"initialized": 1}
    assert view.in_all.started == 0
