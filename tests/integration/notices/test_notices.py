"""A worker tells real receivers, of which some hang, fail, redirect or lie about who they are."""

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    ControlRequested,
    ErrorOccurred,
    FlowLost,
    QuestionAsked,
    StatusChanged,
    new_event,
)
from masterflow.domain.redis_keys import notices_key
from masterflow.repository.database import make_engine, session_factory
from masterflow.repository.settings import DatabaseSettings
from masterflow.scripts.embedded import EmbeddedRedis
from masterflow.tasks.delivery.merging import merge
from masterflow.tasks.notices.queue import Entry, NoticeQueue
from masterflow.tasks.notices.receivers import NoticeSettings
from masterflow.tasks.notices.recording import Notices
from tests.support.eventually import eventually
from tests.support.processes.watch_rounds import make_rounds, tell
from tests.support.processes.workplace import Workplace
from tests.support.servers.databases import temporary_database
from tests.support.servers.receivers import (
    WebReceiver,
    dripping_receiver,
    hanging_receiver,
    mail_receiver,
    web_receiver,
)
from tests.support.servers.tls import TlsFront

KEY = b"k" * 32
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
EVENTS = ["failed", "lost", "overdue", "waiting", "over_budget", "cancelled"]
KEYS = json.dumps({"one": "w" * 32})


@dataclass
class Site:
    """A worker with its receivers."""

    place: Workplace
    good: WebReceiver
    failing: WebReceiver
    redirecting: WebReceiver
    slack: WebReceiver
    mails: list[Message]
    notices: str


@pytest.fixture(scope="module")
def site(postgres_server: str, database_template: str, server_folder: Path) -> Iterator[Site]:
    folder = server_folder / f"notices-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        database_url = stack.enter_context(temporary_database(postgres_server, template=database_template))
        server = stack.enter_context(EmbeddedRedis(folder / "redis"))
        good = stack.enter_context(web_receiver())
        failing = stack.enter_context(web_receiver(500))
        redirecting = stack.enter_context(web_receiver(307, location=good.url))
        slack = stack.enter_context(web_receiver(200))
        mail_port, mails = stack.enter_context(mail_receiver())
        liar = stack.enter_context(TlsFront(folder, good.port))
        # Who hangs stands first: told one after the other, the others would wait for 30 s.
        urls = {
            "hanging": f"http://127.0.0.1:{stack.enter_context(hanging_receiver())}/",
            "dripping": f"http://127.0.0.1:{stack.enter_context(dripping_receiver()).port}/",
            "good": good.url,
            "failing": failing.url,
            "redirecting": redirecting.url,
            "liar": f"https://127.0.0.1:{liar.port}/",
        }
        hook = {"kind": "webhook", "events": EVENTS, "secrets": [SECRET], "page": "https://flows.example"}
        mail = {"kind": "email", "url": f"smtp://127.0.0.1:{mail_port}", "plain": True, "events": ["failed"]}
        notices = json.dumps(
            [
                *({"name": name, "url": url, **hook} for name, url in urls.items()),
                {"name": "slack", "kind": "slack", "url": slack.url, "events": ["failed"]},
                {"name": "mail", **mail, "from": "flows@example.org", "to": ["ops@example.org"]},
            ]
        )
        place = Workplace(
            folder,
            database_url=database_url,
            redis_url=server.url,
            ENRICHMENT_NOTICES=notices,
            ENRICHMENT_WORKER_KEYS=KEYS,
            ENRICHMENT_LOST_AFTER_S="15",
            ENRICHMENT_FLOW_GRACE_S="0",
        )
        stack.enter_context(place.worker())
        yield Site(place, good, failing, redirecting, slack, mails, notices)
    server.remove()
    place.remove()


@pytest.fixture
def queue(site: Site) -> NoticeQueue:
    return NoticeQueue(site.place.redis, site.place.settings.worker_keys)


def told(receiver: WebReceiver, flow_id: uuid.UUID) -> list[str]:
    return [one.json["data"]["event"] for one in receiver.about(flow_id)]


def waiting_for_the_liar(queue: NoticeQueue, flow_id: uuid.UUID) -> list[Entry]:
    """Return what was handed over about a flow to one who never takes anything."""
    return [one for one in queue.read("waiting", "liar") if one.notice.flow_id == flow_id]


def run(place: Workplace, work: Callable[[async_sessionmaker[AsyncSession]], Awaitable[Any]]) -> Any:
    async def done() -> Any:
        settings = DatabaseSettings(database_url=place.environment["DATABASE_URL"])
        engine = make_engine(settings, pool_size=1, application_name="test")
        try:
            return await work(session_factory(engine))
        finally:
            await engine.dispose()

    return asyncio.run(done())


def fail(place: Workplace, context: FlowContext, flow_id: uuid.UUID) -> list[Any]:
    said = "<!channel> the file is gone"
    events = [
        new_event(ErrorOccurred, context, flow_id, phase="data_import", error=said),
        new_event(StatusChanged, context, flow_id, status="failed"),
    ]
    place.publish(events, context)
    return events


def test_a_failure_reaches_each_receiver_signed_and_no_other_delays_it(site, context, queue):
    flow_id = site.place.new_flow(context)
    fail(site.place, context, flow_id)
    [taken] = eventually(lambda: site.good.about(flow_id), timeout_s=25)
    content = f"{taken.headers['webhook-id']}.{taken.headers['webhook-timestamp']}.".encode() + taken.body
    digest = base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    assert taken.headers["webhook-signature"] == f"v1,{digest}"
    data = taken.json["data"]
    assert taken.json["type"] == "flow.failed"
    assert (data["id"], data["phase"]) == (taken.headers["webhook-id"], "data_import")
    assert data["link"] == f"https://flows.example/flows/{flow_id}"
    assert data["client_account_id"] == str(context.client_account_id)
    [said] = eventually(lambda: site.slack.about(flow_id))
    assert "&lt;!channel&gt;" in said.json["text"]
    [mail] = eventually(lambda: [one for one in site.mails if str(flow_id) in str(one)])
    assert data["id"] in mail["message-id"]


def test_who_does_not_take_it_has_it_waiting_and_is_told_again_under_the_same_id(site, context, queue):
    def tried(name: str) -> list[Any]:
        waiting = queue.read("waiting", name)
        return [one for one in waiting if one.notice.flow_id == flow_id and one.tries]

    flow_id = site.place.new_flow(context)
    fail(site.place, context, flow_id)
    for name in ("failing", "redirecting", "liar"):
        site.place.redis.delete(notices_key("lease", name))
        eventually(partial(tried, name), timeout_s=25)
    assert len(site.good.about(flow_id)) == 1
    [entry] = tried("failing")
    site.failing.status = 200
    site.place.redis.zadd(notices_key("due", "failing"), {str(entry.notice.id): 0})
    eventually(lambda: len(site.failing.about(flow_id)) > 1, timeout_s=25)
    ids = {one.headers["webhook-id"] for one in site.failing.about(flow_id)}
    assert ids == {str(entry.notice.id)}
    eventually(lambda: not tried("failing"))
    log = site.place.log.read_text()
    assert "very-secret-key" not in log
    assert SECRET not in log
    [entry] = tried("liar")
    assert "certificate is not trusted" in entry.error


def test_a_batch_that_comes_again_after_a_kill_behind_its_commit_is_told_and_once(site, context):
    flow_id = site.place.new_flow(context)
    event = new_event(StatusChanged, context, flow_id, status="failed")
    run(site.place, lambda sessions: merge(sessions, [event]))
    for _ in range(3):
        site.place.publish([event], context)
    after = site.place.new_flow(context)
    site.place.publish([new_event(StatusChanged, context, after, status="failed")], context)
    eventually(lambda: site.good.about(after), timeout_s=25)
    assert told(site.good, flow_id) == ["failed"]


def test_what_is_not_committed_yet_is_handed_over_to_nobody(site, context, queue):
    def is_blocked() -> bool:
        with site.place.database() as other:
            found = other.execute("select from pg_stat_activity where wait_event_type = 'Lock'")
            return found.fetchone() is not None

    flow_id = site.place.new_flow(context)
    row = "select from migration.crewai_flow_state_extensions where flow_id = %s for update"
    with site.place.database() as database, database.transaction():
        database.execute(row, [flow_id])
        fail(site.place, context, flow_id)
        eventually(is_blocked, timeout_s=25)
        assert waiting_for_the_liar(queue, flow_id) == []
        assert site.good.about(flow_id) == []
    eventually(lambda: told(site.good, flow_id) == ["failed"], timeout_s=25)


def test_a_batch_whose_notices_nobody_takes_over_is_not_confirmed_until_somebody_does(site, context):
    def is_refused() -> bool:
        return "Redis takes no notice" in site.place.log.read_text()

    flow_id, known = site.place.new_flow(context), notices_key("known", "good")
    site.place.redis.rename(known, f"{known}:aside")
    site.place.redis.set(known, "planted")
    event = new_event(StatusChanged, context, flow_id, status="failed")
    site.place.publish([event], context, sender_id="one")
    eventually(is_refused, timeout_s=25)
    assert site.place.confirmations("one") == []
    site.place.redis.rename(f"{known}:aside", known)
    eventually(lambda: told(site.good, flow_id) == ["failed"], timeout_s=25)
    eventually(lambda: site.place.confirmations("one"), timeout_s=25)


def test_what_another_tenant_says_of_a_flow_is_told_nobody(site, context):
    flow_id, own = site.place.new_flow(context), site.place.new_flow(context)
    eve = context.model_copy(update={"client_account_id": uuid.uuid4()})
    site.place.publish([new_event(StatusChanged, eve, flow_id, status="failed")], eve)
    site.place.publish([new_event(StatusChanged, context, own, status="failed")], context)
    eventually(lambda: site.good.about(own), timeout_s=25)
    eventually(lambda: site.place.counters().get("dead:tenant_mismatch"))
    assert told(site.good, flow_id) == []


def test_what_happens_to_flows_is_told_by_its_name(site, context):
    def has_heard(name: str) -> bool:
        return told(site.good, flows[name]) == [name]

    flows = {name: site.place.new_flow(context) for name in ("waiting", "over_budget", "lost", "none")}
    question = "Approve the mapping?"
    asked = new_event(QuestionAsked, context, flows["waiting"], key="mapping", question=question)
    waits = new_event(StatusChanged, context, flows["waiting"], status="waiting_for_approval")
    stop: dict[str, Any] = {"action": "cancel", "by": "budget", "reason": "It cost 2 of 1 USD."}
    lost: dict[str, Any] = {"cause": "witnessed", "holder": "h", "host": "h", "phase": "data_import"}
    begun = new_event(StatusChanged, context, flows["lost"], status="processing")
    site.place.publish(
        [
            asked,
            waits,
            new_event(ControlRequested, context, flows["over_budget"], **stop),
            begun,
            new_event(FlowLost, context, flows["lost"], last_sign_at=begun.occurred_at, **lost),
            # It reported something after it was last heard of by whoever calls it lost.
            new_event(StatusChanged, context, flows["none"], status="processing"),
            new_event(
                FlowLost,
                context,
                flows["none"],
                occurred_at=begun.occurred_at,
                last_sign_at=begun.occurred_at,
                **lost,
            ),
        ],
        context,
    )
    for name in ("waiting", "over_budget", "lost"):
        eventually(partial(has_heard, name), timeout_s=25)
    assert site.good.about(flows["waiting"])[0].json["data"]["detail"] == "Approve the mapping?"
    assert told(site.good, flows["none"]) == []


def test_the_watch_tells_too(site, context):
    late, silent = site.place.new_flow(context), site.place.new_flow(context)
    tell(site.place, context, late, sender="host-1-late", flow_deadline_at=1_000_000)
    tell(site.place, context, silent, sender="host-1-silent")
    make_rounds(site.place, 5)
    eventually(lambda: "overdue" in told(site.good, late), timeout_s=25)
    eventually(lambda: told(site.good, silent) == ["lost"], timeout_s=25)


@pytest.mark.parametrize("is_merged", [True, False])
def test_a_watch_that_was_killed_around_its_commit_tells_what_was_committed_and_nothing_else(
    site, context, queue, is_merged
):
    flow_id = site.place.new_flow(context)
    notices = Notices(
        site.place.redis,
        site.place.settings.worker_keys,
        NoticeSettings(receivers=site.notices),
        partial(run, site.place),
    )
    event = new_event(StatusChanged, context, flow_id, status="failed")
    notices.intend([event])
    if is_merged:
        run(site.place, lambda sessions: merge(sessions, [event]))
    make_rounds(site.place, 1)
    assert site.place.redis.hlen(notices_key("intended")) == 0
    if is_merged:
        eventually(lambda: told(site.good, flow_id) == ["failed"], timeout_s=25)
    else:
        assert waiting_for_the_liar(queue, flow_id) == []


def test_a_notice_that_was_forged_in_redis_is_refused(site, queue, context):
    def is_done(receiver: str) -> bool:
        return not queue.read("waiting", receiver)

    flow_id = site.place.new_flow(context)
    fail(site.place, context, flow_id)
    [entry] = eventually(lambda: waiting_for_the_liar(queue, flow_id))
    # The last of all that it is handed over to.
    eventually(lambda: site.place.redis.hexists(notices_key("known", "mail"), str(entry.notice.id)))
    for receiver, text in (
        ("good", entry.written()),
        ("slack", entry.written().replace("failed", "lost")),
        ("mail", json.dumps({"text": entry.text, "tries": 0, "tried_at": None, "error": ""})),
    ):
        eventually(partial(is_done, receiver))
        site.place.redis.hset(notices_key("waiting", receiver), str(entry.notice.id), text)
        site.place.redis.zadd(notices_key("due", receiver), {str(entry.notice.id): 0})
    eventually(lambda: site.place.counters().get("forged:notice") == 3, timeout_s=25)
    assert len(site.good.about(flow_id)) == 1
