"""The list as a page: a form that says what is asked for, the flows, and links to newer and older ones."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from masterflow.domain.clock import parse_time
from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.repository.status.wanted import SORTS
from masterflow.status.api.flows import Manager
from masterflow.status.api.list_query import words_of
from masterflow.status.listing.asked import META, filter_of, sort_of
from masterflow.status.listing.counts import FlowCounts
from masterflow.status.page.rendering import render
from masterflow.status.page.roots import events_address

_PAGE_ROWS: Final = 25

#: For so long flows are looked at before a page says how far it is, and goes on by itself.
_BUDGET_S: Final = 1.0
_COUNTING_S: Final = 0.2

#: What may be chosen of how it stands with a flow, in the words of a query.
LIVES: Final[Mapping[str, Mapping[str, list[str]]]] = {
    "lost": {"liveness": ["lost"]},
    "silent": {"liveness": ["silent"]},
    "lost or silent": {"liveness": ["lost", "silent"]},
    "alive": {"liveness": ["alive"]},
    "overdue": {"overdue": ["true"]},
    "waiting": {"waiting": ["true"]},
}
_SINCE: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

#: Fields that people see; whatever else a link asks for is told in words, and kept.
_FIELDS: Final = ("text", "status", "type", "phase", "user", "since", "life", "sort", "cause")
_KEPT: Final = (
    *("until", "liveness", "overdue", "waiting"),
    *("seen_since", "seen_until", "ran", "ran_since", "ran_until", "ended_since", "ended_until"),
)
_SAID: Final = {
    "until": "created before",
    "seen_since": "its errors last seen since",
    "seen_until": "its errors last seen before",
    "ran": "ran the phase",
    "ran_since": "ran it since",
    "ran_until": "ran it before",
    "ended_since": "ended since",
    "ended_until": "ended before",
}


async def flows_page(
    request: Request,
    manager: Manager,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Show the list; what the form leaves empty does not matter."""
    words = _chosen(words_of(request))
    sort, wanted = sort_of(words), filter_of(_meant(words))
    page = await manager.list_flows(
        wanted,
        sort=sort,
        cursor=cursor or None,
        limit=_PAGE_ROWS,
        budget_s=_BUDGET_S,
        # Times that are told from now differ from page to page; the words do not.
        asked=_query(words),
    )
    older, newer = (
        f"?{_query({**words, 'cursor': [place]})}" if place else None
        for place in (page.next_cursor, page.previous_cursor)
    )
    counts = await manager.count_flows(wanted, budget_s=_COUNTING_S)
    return render(
        request,
        "flows.html",
        events=events_address(request),
        page=page,
        counts=counts,
        standing=_standing(counts, words),
        causes=_causes(counts, words),
        chosen={name: words.get(name, [""])[0] for name in _FIELDS} | {"sort": sort},
        chosen_statuses=words.get("status", []),
        extras=_extras(words),
        is_filtered=any(name != "sort" for name in words),
        is_first=not cursor,
        newest_link=f"?{_query(words)}",
        newer_link=newer,
        older_link=older,
        # Nothing was found so far: the page goes on by itself, also without a script.
        goes_on=bool(older and not page.flows),
        statuses=FLOW_STATUSES,
        flow_types=FLOW_TYPES,
        lives=LIVES,
        sorts=SORTS,
    )


def _chosen(words: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the words that ask for something, those for a key and its value as one."""
    names = [*_FIELDS, *_KEPT, *(name for name in words if name.startswith(META))]
    found = {name: [value for value in words.get(name, ()) if value.strip()] for name in names}
    key, value = ("".join(words.get(name, ())[:1]).strip() for name in ("meta_key", "meta_value"))
    if key:
        found[f"{META}{key}"] = [value]
    if found["sort"] == ["created"]:
        del found["sort"]
    return {name: values for name, values in found.items() if values}


def _meant(words: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return what the list is asked for by the words of the form."""
    meant = dict(words)
    for life in meant.pop("life", []):
        # A choice that is none of ours is told as such.
        meant |= LIVES.get(life, {"liveness": [life]})
    if past := _SINCE.get(meant.get("since", [""])[0]):
        meant["since"] = [(datetime.now(UTC) - past).isoformat()]
    return meant


def _standing(counts: FlowCounts, words: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return how the flows stand, with links to those; none where that is asked for already."""
    is_asked = words.keys() & {"life", "liveness", "overdue", "waiting"}
    return [
        {
            "word": word,
            "flows": getattr(counts, word),
            "link": None if is_asked else f"?{_query({**words, 'life': [word]})}",
        }
        for word in ("lost", "silent", "overdue", "waiting")
        if getattr(counts, word) is not None
    ]


def _causes(counts: FlowCounts, words: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return what failed in the flows, with links to those; nothing where a cause is asked for already."""
    if "cause" in words:
        return []
    return [
        {"cause": one.cause, "flows": one.flows, "link": f"?{_query({**words, 'cause': [one.cause]})}"}
        for one in counts.causes
    ]


def _extras(words: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return what is asked for besides the fields: in words, with a link to the list without it."""
    return [
        {
            "name": name,
            "value": value,
            "said": _said(name, value),
            "without": f"?{_query({one: values for one, values in words.items() if one != name})}",
        }
        for name, values in words.items()
        if name not in _FIELDS
        for value in values
    ]


def _said(name: str, value: str) -> str:
    if name.startswith(META):
        return f"{name.removeprefix(META)} is {value}"
    at = parse_time(value)
    shown = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else value.replace("_", " ")
    return f"{_SAID.get(name, name)} {shown}"


def _query(words: Mapping[str, Sequence[str]]) -> str:
    return urlencode({name: list(values) for name, values in words.items()}, doseq=True)
