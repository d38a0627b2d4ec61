"""What the lists can be asked for over HTTP, as the OpenAPI document has it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from pydantic import BeforeValidator

from masterflow.domain.clock import parse_time
from masterflow.domain.liveness import Liveness
from masterflow.domain.statuses import FlowStatus as FlowStatusName
from masterflow.repository.status.wanted import Sort
from masterflow.status import cursors
from masterflow.status.flow.part import Part


def _time_of(value: object) -> datetime:
    at = value if isinstance(value, datetime) else parse_time(value)
    if at is None:
        raise ValueError("no time")
    return at


_Moment = Annotated[datetime, BeforeValidator(_time_of)]
Cursor = Annotated[
    str | None, Query(min_length=1, max_length=100, json_schema_extra={"pattern": cursors.PATTERN})
]
ListCursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=100,
        description="From a page with the same filter and order: its `next_cursor` or `previous_cursor`.",
        json_schema_extra={"pattern": cursors.LIST_PATTERN},
    ),
]

_ISO: Final = "ISO 8601, in UTC unless it has an offset"


async def declared(  # noqa: PLR0913  each is a word of the query, which `words_of` reads
    *,
    status: Annotated[list[FlowStatusName] | None, Query(description="One or more statuses.")] = None,
    flow_type: Annotated[str | None, Query(alias="type", min_length=1, max_length=50)] = None,
    phase: Annotated[
        str | None,
        Query(min_length=1, max_length=200, description="Where it is: `data_import` or `Data import`."),
    ] = None,
    user: Annotated[str | None, Query(min_length=1, max_length=255, description="Whose flow it is.")] = None,
    since: Annotated[_Moment | None, Query(description=f"Created then or later; {_ISO}.")] = None,
    until: Annotated[_Moment | None, Query(description="Created before then.")] = None,
    text: Annotated[
        str | None,
        Query(min_length=1, max_length=200, description="Part of a name, an id or a user, in any case."),
    ] = None,
    liveness: Annotated[
        list[Liveness] | None,
        Query(description="How it stands with the processes that hold the flow; one or more."),
    ] = None,
    overdue: Annotated[bool, Query(description="Only flows past a deadline.")] = False,
    waiting: Annotated[bool, Query(description="Only flows that wait for somebody.")] = False,
    cause: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=400,
            description="A cause of errors, as the fleet has it, or the text of an error that has it.",
        ),
    ] = None,
    seen_since: Annotated[
        _Moment | None, Query(description="Its errors were last seen then or later.")
    ] = None,
    seen_until: Annotated[_Moment | None, Query(description="Its errors were last seen before then.")] = None,
    ran: Annotated[
        str | None, Query(min_length=1, max_length=200, description="A phase whose time is known.")
    ] = None,
    ran_since: Annotated[_Moment | None, Query(description="The phase ended then or later.")] = None,
    ran_until: Annotated[_Moment | None, Query(description="The phase ended before then.")] = None,
    ended_since: Annotated[_Moment | None, Query(description="The flow ended then or later.")] = None,
    ended_until: Annotated[_Moment | None, Query(description="The flow ended before then.")] = None,
    sort: Annotated[Sort, Query(description="The newest, or the greatest, come first.")] = "created",
) -> None:
    """Describe and check the words; besides them, `meta.KEY=VALUE` asks for a key of `flow_metadata`."""


def part_of(
    text: Annotated[str, Query(max_length=200, description="In any text of an entry, in any case.")] = "",
    phase: Annotated[
        str, Query(max_length=200, description="Only of this phase: `data_import` or `Data import`.")
    ] = "",
    skip: Annotated[int, Query(ge=0, le=100_000, description="Leave out so many that match.")] = 0,
    limit: Annotated[
        int | None, Query(ge=1, le=10_000, description="At most so many; all where it is left out.")
    ] = None,
) -> Part:
    """Return which part of a list of one flow is asked for."""
    return Part(text=text.strip(), phase=phase.strip(), skip=skip, limit=limit)


AskedPart = Annotated[Part, Depends(part_of)]


def words_of(request: Request) -> Mapping[str, list[str]]:
    """Return the words of the query, each with all its values."""
    return {name: request.query_params.getlist(name) for name in request.query_params}
