import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from html import unescape
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from fastapi import FastAPI

from masterflow import page_router, status_router
from masterflow.repository.settings import DatabaseSettings, RedisSettings
from masterflow.status.access.tokens import issue_token
from masterflow.status.settings import StatusSettings
from tests.support.events.flows import new_context, new_flow
from tests.support.rows.asked import asked, waiting

pytestmark = pytest.mark.anyio

SETTINGS = StatusSettings.model_validate({"ENRICHMENT_JWT_KEY": "a key of the tests that is long enough"})

#: What a page refers to: links, assets, forms, and the events that it follows.
REFERENCE = re.compile(r'(?:href|src|action|data-events)="([^"#][^"]*)"')

#: Where a page sends what people ask of a flow.
SENT_TO = re.compile(r'data-(?:tell|answer)="([^"]+)"')

ORIGIN = {"Sec-Fetch-Site": "same-origin"}

#: Where the routers stand in the application, and what a proxy before it takes away.
PLACES = {
    "at the root": ("", "", ""),
    "the pages under a prefix": ("", "/flow-status", ""),
    "both under prefixes": ("/ops/api", "/ops/pages", ""),
    "behind a proxy": ("", "", "/behind"),
    "under a prefix, behind a proxy": ("/ops", "/ops/pages", "/behind"),
}


def application(database_url: str, redis_url: str, api: str, pages: str) -> FastAPI:
    """An application that has routes of ours by path and by name, included after its own."""
    app = FastAPI()
    app.state.status = "the application's own"
    app.state.status_settings = SETTINGS
    app.state.database_settings = DatabaseSettings.model_validate({"DATABASE_URL": database_url})
    app.state.redis_settings = RedisSettings.model_validate({"REDIS_URL": redis_url})
    if pages:
        for path in ("/", "/flows", "/assets/{name}", "/signin"):
            app.add_api_route(path, lambda: {"yours": True}, name="flows")
    app.include_router(status_router, prefix=api)
    app.include_router(page_router, prefix=pages)
    return app


@pytest.fixture(params=PLACES)
async def place(request, database_url, redis_url) -> AsyncIterator[tuple[httpx.AsyncClient, str, str]]:
    """A browser, and where it sees the pages and the API."""
    api, pages, proxy = PLACES[request.param]
    app = application(database_url, redis_url, api, pages)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, root_path=proxy)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://here", follow_redirects=False)
        )
        yield client, f"{proxy}{pages}", f"{proxy}{api}/api/v1"


def references(page: str) -> list[str]:
    return [unescape(it) for it in REFERENCE.findall(page) if not it.startswith("data:")]


@pytest.fixture
async def browsing(place, session_factory) -> tuple[httpx.AsyncClient, str, str, list[str]]:
    """The same, signed in, with the paths of a tenant's pages: one flow of theirs asks something."""
    client, root, api = place
    context = new_context()
    async with session_factory.begin() as db:
        flow_id = await new_flow(db, context, **waiting(asked()))
    token = issue_token(
        SETTINGS,
        context.client_account_id,
        engagement_ids=[context.engagement_id],
        user_id="ann",
        lifetime_s=60,
        may_control=True,
    )
    signed_in = await client.post(f"{root}/signin", data={"token": token}, headers=ORIGIN)
    assert signed_in.status_code == 200
    client.cookies.update(signed_in.cookies)
    return client, root, api, ["/fleet", "/flows", "/inbox", f"/flows/{flow_id}"]


async def test_every_link_asset_form_and_event_stream_of_every_page_answers(browsing):
    client, root, api, paths = browsing
    seen: set[str] = set()
    for path in ("/", *paths, "/flows/00000000-0000-0000-0000-000000000000"):
        answer = await client.get(f"{root}{path}")
        if answer.is_redirect:
            assert answer.headers["location"] == f"{root}/fleet"
            continue
        for reference in references(answer.text):
            address = urljoin(f"http://here{root}{path}", reference)
            is_of_api = address.endswith("/events") or "/export." in address
            assert urlsplit(address).path.startswith(f"{api}/" if is_of_api else f"{root}/")
            seen.add(address)
    assert len(seen) >= 9
    for address in seen - {it for it in seen if it.endswith(("/events", "/signout"))}:
        answer = await client.get(address)
        assert answer.status_code == 200, address
        assert "yours" not in answer.text, address
    streams = [it for it in seen if it.endswith("/events")]
    assert len(streams) == 2
    for address in streams:
        # Without a token it is our own refusal that answers, not a page that is nowhere.
        answer = await client.get(address, headers={"Authorization": "Bearer no token"})
        assert answer.status_code == 401, address
    left = await client.post(f"{root}/signout", headers=ORIGIN)
    assert (left.status_code, left.headers["location"]) == (303, f"{root}/signin")


async def test_what_people_ask_is_sent_to_addresses_that_there_are(browsing):
    client, root, api, paths = browsing
    pages = [(await client.get(f"{root}{path}")).text for path in paths]
    addresses = {address for page in pages for address in SENT_TO.findall(page)}
    assert {it.rpartition("/")[2] for it in addresses} == {"answer", "cancel"}
    for address in addresses:
        assert address.startswith(f"{api}{paths[-1]}/")
        # It is there, and asks for a body that is one.
        answer = await client.post(address, headers=ORIGIN, json={"more": True})
        assert answer.status_code == 422, address


async def test_pages_without_the_router_of_the_api_are_shown_and_follow_nothing(database_url, redis_url):
    app = FastAPI()
    app.state.status_settings = SETTINGS
    app.state.database_settings = DatabaseSettings.model_validate({"DATABASE_URL": database_url})
    app.state.redis_settings = RedisSettings.model_validate({"REDIS_URL": redis_url})
    app.include_router(page_router, prefix="/pages")
    context = new_context()
    token = issue_token(
        SETTINGS,
        context.client_account_id,
        engagement_ids=[context.engagement_id],
        user_id="ann",
        lifetime_s=60,
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client,
    ):
        answer = await client.get("/pages/flows", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert "data-events" not in answer.text
