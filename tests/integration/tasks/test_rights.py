from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried, new_event
from masterflow.tasks.dead_letters.letters import Selection
from tests.support.events.flows import new_context
from tests.support.eventually import eventually
from tests.support.processes.workplace import Workplace
from tests.support.servers.limited import LimitedRole, limited_role, page_grants

MASTER = "migration.crewai_flow_state_extensions"
GRANTS = page_grants("enrichment_worker")


@pytest.fixture
def role(database_url: str) -> Iterator[LimitedRole]:
    """A worker's role, with the rights of the page."""
    with limited_role(database_url, *GRANTS) as role:
        yield role


@pytest.fixture
def place(make_workplace: Callable[..., Workplace]) -> Workplace:
    return make_workplace(ENRICHMENT_FLOW_GRACE_S="1")


def retry(place: Workplace, context: FlowContext, flow_id: UUID, sender_id: str) -> str:
    return place.publish([new_event(FlowRetried, context, flow_id)], context, sender_id=sender_id)


def waits(place: Workplace) -> list[str]:
    """Return why the worker says that it waits."""
    return [line for line in place.log.read_text().splitlines() if "Waiting: " in line]


READ_ONLY = "alter role {role} set default_transaction_read_only = on"
POLICIES = f"alter table {MASTER} enable row level security"

CAUSES = {
    "may only read": (f"revoke update on {MASTER} from {{role}}", "permission denied", GRANTS[1]),
    "may not write a column": (
        f"revoke update on {MASTER} from {{role}}; grant update (flow_status) on {MASTER} to {{role}}",
        "permission denied",
        GRANTS[1],
    ),
    "may not enter the schema": (
        "revoke usage on schema migration from {role}",
        "permission denied for schema migration",
        GRANTS[0],
    ),
    "reads only": (READ_ONLY, "takes no writes", READ_ONLY.replace("= on", "= off")),
    "sees no row": (POLICIES, "Row-level security hides every row", "alter role {role} bypassrls"),
    "may update no row": (
        f"{POLICIES}; create policy shown on {MASTER} for select using (true)",
        "update no row of",
        "alter role {role} bypassrls",
    ),
}


@pytest.mark.long(but=["may only read", "reads only", "sees no row"])
@pytest.mark.parametrize(("harm", "said", "remedy"), CAUSES.values(), ids=CAUSES)
def test_what_an_operator_can_mend_is_waited_for_and_said(
    place: Workplace, role: LimitedRole, context: FlowContext, harm: str, said: str, remedy: str
) -> None:
    flow_id, sender_id = place.new_flow(context), uuid4().hex
    role.run(*harm.split("; "))
    with place.worker(DATABASE_URL=role.url):
        retry(place, context, flow_id, sender_id)
        [reason] = eventually(lambda: waits(place), timeout_s=30)
        assert said in reason
        assert (place.confirmations(sender_id), place.letters()) == ([], [])
        role.run(remedy)
        eventually(lambda: place.confirmations(sender_id), timeout_s=30)
    assert place.row(flow_id)["retry_count"] == 1
    assert (place.letters(), waits(place)) == ([], [reason])


def test_a_message_that_is_given_back_is_logged_without_the_statement(
    place: Workplace, role: LimitedRole, context: FlowContext
) -> None:
    role.run(f"revoke update on {MASTER} from {{role}}")
    with place.worker(DATABASE_URL=role.url):
        retry(place, context, place.new_flow(context), uuid4().hex)
        eventually(lambda: waits(place), timeout_s=30)
    # A worker that stops waits no longer.
    log = place.log.read_text()
    assert "reject requeue=True: Postgres does not let our role do this" in log
    assert "[SQL" not in log


def test_a_row_that_a_policy_hides_among_others_is_a_dead_letter_that_can_be_replayed(
    place: Workplace, role: LimitedRole, context: FlowContext
) -> None:
    flow_id, sender_id = place.new_flow(context), uuid4().hex
    seen = new_context()
    seen_flow_id = place.new_flow(seen)
    role.run(
        POLICIES,
        f"create policy own on {MASTER} using (client_account_id = '{seen.client_account_id}')",
    )
    with place.worker(DATABASE_URL=role.url):
        retry(place, context, flow_id, sender_id)
        retry(place, seen, seen_flow_id, sender_id)
        eventually(lambda: len(place.confirmations(sender_id)) == 2, timeout_s=30)
        [letter] = place.letters()
        assert (letter.reason, letter.flow_id) == ("row_hidden", str(flow_id))
        assert "row-level security policy may hide it" in letter.error
        role.run("alter role {role} bypassrls")
        with place.dead_letters() as letters:
            assert place.replay(letters, Selection(reason="row_hidden")) == 1
        eventually(lambda: place.row(flow_id)["retry_count"] == 1, timeout_s=30)
    assert place.row(seen_flow_id)["retry_count"] == 1


def test_where_a_policy_hides_nothing_an_unknown_flow_is_not_found(
    place: Workplace, role: LimitedRole, context: FlowContext
) -> None:
    place.new_flow(context)
    role.run(POLICIES, f"create policy workers on {MASTER} to {{role}} using (true)")
    with place.worker(DATABASE_URL=role.url):
        retry(place, context, uuid4(), uuid4().hex)
        [letter] = eventually(place.letters, timeout_s=30)
    assert letter.reason == "flow_not_found"
