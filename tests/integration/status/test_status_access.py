"""Tenants and tokens of every kind, against every route that the application has."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import routing

from masterflow.domain import FlowContext
from masterflow.domain.events import FlowRetried
from masterflow.status.app import make_app
from tests.support.event_streams import event_reader
from tests.support.events.flows import new_context
from tests.support.events.reported_flows import Sessions, flow_of, full_story, report
from tests.support.processes.status_site import JWT_KEY, PROBE_TOKEN, StatusSite

_NO_FLOW = UUID(int=404)

#: Each route has to be in one of these two, or it asks for a token.
_FOR_ANYBODY = {"/health/live", "/", "/signin", "/signout", "/assets/{name}"}
_FOR_PROBES = {"/health/ready", "/metrics"}

# FastAPI before 0.131 has every route in one list, and no need of this.
_each_route = getattr(routing, "iter_route_contexts", iter)
#: What is sent to has tests of its own.
_PATHS = sorted({str(route.path) for route in _each_route(make_app().routes) if "GET" in route.methods})
_GUARDED = [path for path in _PATHS if path not in _FOR_ANYBODY]
_OF_ONE_FLOW = [path for path in _GUARDED if "{flow_id}" in path]

#: What stands in a flow of these tests, and in nobody's answer but their owner's.
_SECRETS = ("tester", "phase_1", "please check", "waiting_for_approval", "waiting for approval")


def _at(path: str, flow_id: UUID) -> str:
    return re.sub(r"\{flow_id\}", str(flow_id), path)


# -- without a token that holds


def _claims(context: FlowContext, **changes: Any) -> dict[str, Any]:
    whole = {
        "iss": "enrichment",
        "aud": "enrichment-status",
        "exp": datetime.now(UTC) + timedelta(minutes=5),
        "sub": "mallory",
        "client_account_id": str(context.client_account_id),
        "engagement_ids": [str(context.engagement_id)],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def _signed(key: Any = JWT_KEY, algorithm: str = "HS256", **changes: Any) -> Callable[[FlowContext], str]:
    return lambda context: jwt.encode(_claims(context, **changes), key, algorithm=algorithm)


def _tampered(context: FlowContext) -> str:
    """Somebody else's good token, with the account changed under the signature."""
    head, _, signature = _signed()(new_context()).split(".")
    return ".".join((head, _signed()(context).split(".")[1], signature))


_BAD_TOKENS: dict[str, Callable[[FlowContext], str] | None] = {
    "missing": None,
    "expired": _signed(exp=datetime.now(UTC) - timedelta(minutes=5)),
    "not yet valid": _signed(nbf=datetime.now(UTC) + timedelta(days=1)),
    "alg none": _signed("", "none"),
    "another algorithm": _signed(JWT_KEY * 2, "HS512"),
    "a public key's algorithm": _signed(rsa.generate_private_key(65537, 2048), "RS256"),
    "wrong key": _signed("another secret of the same length, or so"),
    "tampered": _tampered,
    "wrong display": _signed(aud="other"),
    "wrong issuer": _signed(iss="other"),
    "without expiry": _signed(exp=...),
    "without display": _signed(aud=...),
    "without account": _signed(client_account_id=...),
    "without engagements": _signed(engagement_ids=[]),
    "all engagements": _signed(engagement_ids="*"),
    "garbage": lambda _: "a.b.c",
    "too long": lambda context: _signed()(context) + "x" * 9_000,
}


@pytest.mark.parametrize("kind", _BAD_TOKENS)
async def test_without_a_token_that_holds_nothing_is_shown(
    site: StatusSite, sessions: Sessions, context: FlowContext, kind: str
) -> None:
    flow_id = await flow_of(sessions, context)
    await report(sessions, context, flow_id, *full_story())
    make = _BAD_TOKENS[kind]
    token = make(context) if make else ""
    for path in _GUARDED:
        for headers in _ways_to_send(token):
            answer = site.get(_at(path, flow_id), headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert not any(secret in answer.text for secret in _SECRETS), path
            missing = site.get(_at(path, _NO_FLOW), headers=headers)
            assert answer.text.replace(str(flow_id), str(_NO_FLOW)) == missing.text, path


def _ways_to_send(token: str) -> list[dict[str, str]]:
    if not token:
        return [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Cookie": "enrichment_token="}]
    # A bearer token that does not hold is not made good by a cookie's place, nor the other way round.
    return [{"Authorization": f"Bearer {token}"}, {"Cookie": f"enrichment_token={token}"}]


def test_a_good_token_in_another_place_opens_nothing(site: StatusSite, context: FlowContext) -> None:
    token = site.token(context)
    assert site.get("/api/v1/flows", headers={"Authorization": f"Basic {token}"}).status_code == 401
    assert site.get("/api/v1/flows", params={"token": token}).status_code == 401
    assert site.get("/api/v1/flows", params={"access_token": token}).status_code == 401
    both = {"Authorization": "Bearer wrong", "Cookie": f"enrichment_token={token}"}
    assert site.get("/api/v1/flows", headers=both).status_code == 401


async def test_what_is_for_anybody_tells_nothing(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    await report(sessions, context, await flow_of(sessions, context), *full_story())
    for path in _FOR_ANYBODY:
        answer = site.get(path.replace("{name}", "page.css"), params={"text": "tester"})
        assert answer.status_code in {200, 303, 405}, path
        assert not any(secret in answer.text for secret in ("tester", "please check")), path


def test_probes_are_for_the_probe_token_alone_and_it_is_for_nothing_else(
    site: StatusSite, context: FlowContext
) -> None:
    probe = {"Authorization": f"Bearer {PROBE_TOKEN}"}
    for path in _GUARDED:
        as_viewer = (
            site.get(_at(path, _NO_FLOW), headers=site.bearer(context)) if path in _FOR_PROBES else None
        )
        assert as_viewer is None or as_viewer.status_code == 403
        as_probe = site.get(_at(path, _NO_FLOW), headers=probe)
        assert as_probe.status_code == (200 if path in _FOR_PROBES else 401), path
    for path in _FOR_PROBES:
        assert site.get(path, headers=site.bearer(context)).status_code == 403, path


def test_nobody_reads_the_metrics_where_no_probe_token_is_set(
    tmp_path: Path, database_url: str, redis_url: str, context: FlowContext
) -> None:
    unset = {"ENRICHMENT_STATUS_PROBE_TOKEN": ""}
    with StatusSite(tmp_path, database_url=database_url, redis_url=redis_url, **unset) as own:
        for path in _FOR_PROBES:
            for token in ("None", "null", PROBE_TOKEN):
                assert own.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 401
            assert own.get(path, headers=own.bearer(context)).status_code == 403


def test_there_is_no_way_around_the_routes(site: StatusSite, context: FlowContext) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/static/page.css", "/assets/..%2f..%2fsettings.py"):
        assert site.get(path, headers=site.bearer(context)).status_code == 404, path


# -- with somebody else's


_STRANGERS = {
    "another account": ("client_account_id",),
    "another engagement": ("engagement_id",),
    "another tenant": ("client_account_id", "engagement_id"),
}


def _stranger(context: FlowContext, who: str) -> FlowContext:
    return context.model_copy(update=dict.fromkeys(_STRANGERS[who], uuid4()) | {"user_id": "stranger"})


@pytest.mark.parametrize("who", _STRANGERS)
@pytest.mark.parametrize("path", _OF_ONE_FLOW)
async def test_a_foreign_flow_is_one_that_does_not_exist(
    site: StatusSite, sessions: Sessions, context: FlowContext, who: str, path: str
) -> None:
    flow_id = await flow_of(sessions, context)
    await report(sessions, context, flow_id, *full_story())
    headers = site.bearer(_stranger(context, who))
    for send in (headers, {"Cookie": f"enrichment_token={headers['Authorization'][7:]}"}):
        foreign = site.get(_at(path, flow_id), headers=send)
        missing = site.get(_at(path, _NO_FLOW), headers=send)
        assert foreign.status_code == missing.status_code == 404
        assert foreign.text.replace(str(flow_id), str(_NO_FLOW)) == missing.text
        assert _without_time(foreign.headers) == _without_time(missing.headers)


def _without_time(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "date"}


@pytest.mark.parametrize("who", _STRANGERS)
async def test_no_listing_shows_a_foreign_flow_whatever_it_is_asked(
    site: StatusSite, sessions: Sessions, context: FlowContext, who: str
) -> None:
    flow_ids = [await flow_of(sessions, context) for _ in range(3)]
    for flow_id in flow_ids:
        await report(sessions, context, flow_id, *full_story())
    owner, stranger = site.bearer(context), site.bearer(_stranger(context, who))
    first = site.get("/api/v1/flows", headers=owner, params={"limit": 1}).json()
    asked: list[dict[str, str]] = [
        {},
        {"limit": "200"},
        {"text": str(flow_ids[0])},
        {"text": "tester"},
        {"text": str(flow_ids[0])[:4]},
        {"status": "waiting_for_approval"},
        {"type": "discovery"},
        {"phase": "approval"},
        {"since": "2020-01-01T00:00:00Z"},
        {"cursor": first["next_cursor"]},
        {"sort": "errors"},
        {"seen_since": "2020-01-01T00:00:00Z"},
        {"waiting": "true"},
    ]
    for params in asked:
        whole = site.get("/api/v1/flows", headers=stranger, params=params)
        if "cursor" in params:
            assert whole.status_code == 409
            continue
        told = whole.json()
        assert (told.pop("flows"), told.pop("searched"), told.pop("complete")) == ([], 0, True), params
        assert not any(told.values()), params
        page = site.get("/flows", headers=stranger, params=params)
        assert page.status_code == 200
        assert "data-flow=" not in page.text
        found = site.get("/api/v1/flows", headers=owner, params=params).json()["flows"]
        assert found, f"{params} shows the owner nothing either"


async def test_a_token_for_an_account_sees_all_its_engagements_and_nothing_of_another(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    sister = new_context().model_copy(update={"client_account_id": context.client_account_id})
    own = [await flow_of(sessions, one) for one in (context, sister)]
    foreign = await flow_of(sessions, new_context())
    for flow_id, one in zip(own, (context, sister), strict=True):
        await report(sessions, one, flow_id, *full_story())
    several, whole = (
        site.bearer(context, engagements=[sister.engagement_id]),
        site.bearer(context, engagements=None),
    )
    for headers in (several, whole):
        for path in ("/api/v1/flows", "/api/v1/flows?sort=errors", "/api/v1/flows?phase=approval", "/flows"):
            text = site.get(path, headers=headers).text
            assert all(str(flow_id) in text for flow_id in own), path
            assert str(foreign) not in text
        for name in ("status", "timeline", "errors", "activity"):
            assert site.get(f"/api/v1/flows/{own[1]}/{name}", headers=headers).is_success
            assert site.get(f"/api/v1/flows/{foreign}/{name}", headers=headers).status_code == 404
        assert site.get("/api/v1/fleet", headers=headers).json()["in_all"]["started"] == 2
        inbox = site.get("/api/v1/inbox", headers=headers).json()
        assert {one["flow_id"] for one in inbox["waiting"]} == set(map(str, own))
    async with site.client(context, engagements=None) as client, event_reader(client) as reader:
        await report(sessions, sister, own[1], (FlowRetried, {}))
        await reader.flow(own[1])


@pytest.mark.parametrize("who", _STRANGERS)
async def test_no_event_stream_tells_of_a_foreign_flow_also_not_of_what_was_missed(
    site: StatusSite, sessions: Sessions, context: FlowContext, who: str
) -> None:
    stranger = _stranger(context, who)
    foreign, own = await flow_of(sessions, context), await flow_of(sessions, stranger)
    async with site.client(context) as client, event_reader(client) as reader:
        await report(sessions, context, foreign, (FlowRetried, {}))
        seen = reader.events[0].id
        await reader.flow(foreign)
    read = partial(event_reader, last_event_id=seen)
    async with site.client(stranger) as client, read(client) as missed, event_reader(client) as fresh:
        await report(sessions, context, foreign, (FlowRetried, {}))
        await report(sessions, stranger, own, (FlowRetried, {}))
        for reader in (missed, fresh):
            await reader.flow(own)
            told = {event.data["flow_id"] for event in reader.events if event.name == "flow"}
            assert told == {str(own)}


async def test_a_token_may_name_several_engagements(
    site: StatusSite, sessions: Sessions, context: FlowContext
) -> None:
    other, third = (context.model_copy(update={"engagement_id": uuid4()}) for _ in range(2))
    flow_ids = {str(await flow_of(sessions, context)), str(await flow_of(sessions, other))}
    await flow_of(sessions, third)
    headers = site.bearer(context, engagements=[other.engagement_id])
    found = site.get("/api/v1/flows", headers=headers).json()["flows"]
    assert {flow["flow_id"] for flow in found} == flow_ids


def test_who_guesses_tokens_is_slowed_down_and_nobody_else(
    tmp_path: Path, database_url: str, redis_url: str, context: FlowContext
) -> None:
    rate = {"ENRICHMENT_STATUS_WRONG_TOKENS_PER_S": "1"}
    with StatusSite(tmp_path, database_url=database_url, redis_url=redis_url, **rate) as own:
        guesses = [own.get("/flows", headers={"Authorization": f"Bearer {n}"}) for n in range(8)]
        assert {answer.status_code for answer in guesses} == {401, 429}
        assert own.get("/flows").status_code == 401
        assert own.get("/flows", headers=own.bearer(context)).is_success
