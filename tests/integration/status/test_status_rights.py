from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from tests.support.events.flows import new_context
from tests.support.processes.status_site import PROBE_TOKEN, StatusSite
from tests.support.servers.limited import LimitedRole, limited_role, page_grants

MASTER = "migration.crewai_flow_state_extensions"
CONTEXT, OTHER = new_context(), new_context()
FLOW_ID = uuid4()


def insert(flow_id: UUID, context: FlowContext) -> str:
    return (
        f"insert into {MASTER} (id, flow_id, client_account_id, engagement_id, user_id, flow_type) values"
        f" (gen_random_uuid(), '{flow_id}', '{context.client_account_id}', '{context.engagement_id}', 'ana',"
        " 'discovery')"
    )


@pytest.fixture
def role(database_url: str) -> Iterator[LimitedRole]:
    """The role of an API that may read, and a flow."""
    with limited_role(
        database_url, insert(FLOW_ID, CONTEXT), insert(uuid4(), OTHER), *page_grants("enrichment_api")
    ) as role:
        yield role


@pytest.fixture
def site(role: LimitedRole, redis_url: str, tmp_path: Path) -> Iterator[StatusSite]:
    with StatusSite(tmp_path, database_url=role.url, redis_url=redis_url) as site:
        yield site


def answers(site: StatusSite, *parts: str) -> list[tuple[int, str, str]]:
    """Return the status, the reason and the sentence of each of these addresses below `/api/v1/flows`."""
    found = [site.get(f"/api/v1/flows{part}", headers=site.bearer(CONTEXT)) for part in parts]
    return [
        (it.status_code, it.json().get("type", "").rpartition(":")[2], it.json().get("detail", ""))
        for it in found
    ]


def ready(site: StatusSite) -> str:
    """Return what is wrong, or nothing."""
    answer = site.get("/health/ready", headers={"Authorization": f"Bearer {PROBE_TOKEN}"})
    return "" if answer.is_success else str(answer.json()["detail"])


@pytest.mark.parametrize(
    ("harm", "reason", "said"),
    [
        (f"revoke select on {MASTER} from {{role}}", "rights_missing", "permission denied"),
        ("revoke usage on schema migration from {role}", "rights_missing", "permission denied for schema"),
        (f"alter table {MASTER} enable row level security", "rights_missing", "hides every row"),
        (f"alter table {MASTER} drop column phase_transitions", "tables_unsuitable", "phase_transitions"),
        (
            f"alter table {MASTER} alter flow_metadata drop default, alter flow_metadata type json",
            "tables_unsuitable",
            "`flowctl doctor` says what to change",
        ),
        (f"alter table {MASTER} rename to elsewhere", "tables_unsuitable", "`flowctl init-db`"),
    ],
)
def test_what_an_operator_has_to_change_is_said_and_is_no_missing_flow(
    site: StatusSite, role: LimitedRole, harm: str, reason: str, said: str
) -> None:
    assert (answers(site, "", f"/{FLOW_ID}/status")[1][0], ready(site)) == (200, "")
    role.run(harm)
    for status, found, detail in answers(site, "", f"/{FLOW_ID}/status", f"/{uuid4()}/status"):
        assert (status, found) == (503, reason)
        assert said in detail
    assert said in ready(site)


def test_a_row_that_a_policy_hides_among_others_is_told_as_one_that_may_be_hidden(
    site: StatusSite, role: LimitedRole
) -> None:
    role.run(
        f"alter table {MASTER} enable row level security",
        f"create policy other on {MASTER} using (client_account_id = '{OTHER.client_account_id}')",
    )
    [(status, reason, detail)] = answers(site, f"/{FLOW_ID}/status")
    assert (status, reason) == (404, "row_hidden")
    assert "a row-level security policy may hide it" in detail
    assert ready(site) == ""


def test_a_policy_that_hides_nothing_changes_nothing(site: StatusSite, role: LimitedRole) -> None:
    role.run(
        f"alter table {MASTER} enable row level security",
        f"create policy api on {MASTER} for select to {{role}} using (true)",
    )
    assert [it[:2] for it in answers(site, f"/{FLOW_ID}/status", f"/{uuid4()}/status")] == [
        (200, ""),
        (404, "flow_not_found"),
    ]
