"""The status manager: what the flows of one tenant are doing, told from the master rows."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain import FlowContext
from masterflow.domain.ids import flow_uuid
from masterflow.domain.json_shapes import as_list, as_map
from masterflow.repository.redis.client import RedisLink, RedisUnavailable
from masterflow.repository.redis.holders import Holders, read_holders, read_liveness
from masterflow.repository.redis.skipped import SkippedEvents, read_skipped
from masterflow.repository.rights.row_security import check_sight, no_such_flow
from masterflow.repository.status.children import read_child
from masterflow.repository.status.control import list_inbox
from masterflow.repository.status.flow_counts import count_causes, count_flows
from masterflow.repository.status.flow_list import list_flows
from masterflow.repository.status.held import read_held
from masterflow.repository.status.reads import FlowScope, read_one
from masterflow.repository.status.usual import read_completed
from masterflow.repository.status.wanted import FlowFilter, Sort
from masterflow.repository.values import known_time
from masterflow.status import floors
from masterflow.status.control.views import Inbox, waiting_flow
from masterflow.status.cursors import binding_of, cursor_of, list_cursor_of, list_place_of, place_of
from masterflow.status.listing.counts import FlowCounts, counts_of
from masterflow.status.reading.rows import bar_views, status_of, summary_of
from masterflow.status.summary.causes import causes_of
from masterflow.status.timeline import bars_of, is_over, newest_first
from masterflow.status.views import Activity, Errors, FlowList, FlowStatus, Timeline

_ANY_FLOW: Final = FlowFilter()

#: For so long flows are looked at for one page: a request is to be answered within 100 ms.
_BUDGET_S: Final = 0.05
_NO_BUDGET: Final = float("inf")


class FlowStatusManager:
    """Reads the flows that a tenant may see; a flow of another one is not found.

    Every call may raise DatabaseUnavailable; those about one flow raise FlowNotFound (FlowHidden where a
    row-level security policy may hide it), and InputInvalid for what is no id. Nothing is written, and the
    transaction stays the caller's.
    """

    def __init__(
        self, db: AsyncSession, context: FlowContext | FlowScope, redis: RedisLink | None = None
    ) -> None:
        """With a link to Redis, what was skipped while enrichment was off is told too."""
        self._db = db
        self._scope = FlowScope.of(context) if isinstance(context, FlowContext) else context
        self._redis = redis

    @property
    def scope(self) -> FlowScope:
        """Return whose flows it reads."""
        return self._scope

    async def list_flows(
        self,
        wanted: FlowFilter = _ANY_FLOW,
        *,
        sort: Sort = "created",
        cursor: str | None = None,
        limit: int = 50,
        budget_s: float = _BUDGET_S,
        asked: str = "",
    ) -> FlowList:
        """Return a page of the list, the newest or the greatest first.

        A page may be short, and the list goes on: looking ends when `budget_s` is spent. `asked` stands for
        what was asked for where `wanted` differs from page to page, as with times that are told from now.
        Raises InputInvalid for a cursor that is none, CursorElsewhere for one of another list.
        """
        binding = binding_of(self._scope, f"{sort}\n{asked or wanted}")
        at = list_place_of(cursor, binding) if cursor else None
        holders = await self._holders(is_needed=bool(wanted.liveness))
        held = await read_held(self._db, holders, self._scope) if wanted.liveness and holders else None
        page = await list_flows(
            self._db,
            self._scope,
            wanted=wanted,
            sort=sort,
            at=at,
            limit=limit,
            held=held,
            budget_s=budget_s,
        )
        if not page.rows and at is None:
            await check_sight(self._db)
        skipped = await self._skipped(*page.rows)
        return FlowList(
            flows=[
                summary_of(row, skipped.get(row["flow_id"]), holders.of(row["flow_id"]) if holders else None)
                for row in page.rows
            ],
            next_cursor=list_cursor_of(page.older, binding) if page.older else None,
            previous_cursor=list_cursor_of(page.newer, binding) if page.newer else None,
            searched=page.searched,
            complete=page.older is None,
            sorted_among=page.sorted_among,
        )

    async def count_flows(self, wanted: FlowFilter = _ANY_FLOW, *, budget_s: float = _BUDGET_S) -> FlowCounts:
        """Return how many flows are meant and how they stand, and what another status or type would find.

        Where `budget_s` is not enough to look at all, these are numbers of the newest, and say so.
        """
        until = time.monotonic() + budget_s
        holders = await self._holders(is_needed=bool(wanted.liveness))
        held = await read_held(self._db, holders, self._scope) if holders else None
        # Half of the time is for what failed, which takes longer to find.
        rest = replace(wanted, statuses=(), flow_type=None)
        found = await count_flows(self._db, self._scope, wanted=rest, held=held, budget_s=budget_s / 2)
        failed = found
        if not wanted.counted and (found.by_kind or not found.is_whole):
            left_s = until - time.monotonic()
            failed = await count_causes(self._db, self._scope, wanted=wanted, held=held, budget_s=left_s)
        return counts_of(wanted, found, failed, has_signs=holders is not None)

    async def find_flows(
        self, wanted: FlowFilter = _ANY_FLOW, *, sort: Sort = "created", limit: int = 50
    ) -> FlowList:
        """Return the first flows that are meant, however long it takes to look at all others."""
        found = await self.list_flows(wanted, sort=sort, limit=limit, budget_s=_NO_BUDGET)
        flows = found.flows
        while found.next_cursor and len(flows) < limit:
            found = await self.list_flows(
                wanted, sort=sort, cursor=found.next_cursor, limit=limit - len(flows), budget_s=_NO_BUDGET
            )
            flows = [*flows, *found.flows]
        return found.model_copy(update={"flows": flows, "previous_cursor": None})

    async def get_inbox(self, *, cursor: str | None = None, limit: int = 50) -> Inbox:
        """Return a page of the flows that wait for somebody, those that wait longest first."""
        after = place_of(cursor) if cursor else None
        rows, next_place = await list_inbox(self._db, self._scope, after=after, limit=limit)
        if not rows and after is None:
            await check_sight(self._db)
        found = [waiting for row in rows if (waiting := waiting_flow(row))]
        return Inbox(waiting=found, next_cursor=cursor_of(next_place) if next_place else None)

    async def get_flow_status(self, flow_id: UUID | str, include_details: bool = False) -> FlowStatus:  # noqa: FBT001, FBT002
        """Return what a flow is doing; with details, also what its child row says in a few words."""
        row = await self._read("read_status", flow_id)
        child = None
        if include_details:
            child = await read_child(self._db, self._scope, row["flow_id"], flow_type=row["flow_type"])
        skipped = (await self._skipped(row)).get(row["flow_id"])
        holders, liveness = await self._holders(), await read_liveness(self._redis, row)
        held = holders.of(row["flow_id"]) if holders else None
        return status_of(row, child, skipped, holders=held, liveness=liveness)

    async def get_timeline(self, flow_id: UUID | str) -> Timeline:
        """Return a flow's phases as bars, with the transitions they were made from."""
        row = await self._read("read_timeline", flow_id)
        bars = bars_of(
            row["transitions"],
            is_over=is_over(row["flow_status"]),
            over_at=known_time(row["updated_at"]),
            times=row["times"],
        )
        count, transitions = len(as_list(row["transitions"])), newest_first(row["transitions"])[::-1]
        return Timeline(
            flow_id=flow_uuid(flow_id),
            bars=bar_views(bars),
            transition_count=count,
            at_least=floors.full_lists([(floors.TRANSITIONS, count)]),
            transitions=transitions,
            matching=len(transitions),
        )

    async def get_errors(self, flow_id: UUID | str) -> Errors:
        """Return a flow's newest errors."""
        row = await self._read("read_errors", flow_id)
        count = len(as_list(row["errors"]))
        errors = newest_first(row["errors"])
        retries = [floors.RETRIES] if row["is_floor"] else []
        return Errors(
            flow_id=flow_uuid(flow_id),
            retry_count=row["retry_count"],
            error_count=count,
            at_least=retries + floors.full_lists([(floors.ERRORS, count)]),
            errors=errors,
            matching=len(errors),
            causes=causes_of(errors),
        )

    async def get_activity(self, flow_id: UUID | str) -> Activity:
        """Return what agents of a flow did, and what was measured."""
        row = await self._read("read_activity", flow_id)
        count, entries = len(as_list(row["collaborations"])), newest_first(row["collaborations"])
        return Activity(
            flow_id=flow_uuid(flow_id),
            collaboration_count=count,
            at_least=floors.full_lists([(floors.COLLABORATIONS, count)]),
            collaborations=entries,
            matching=len(entries),
            agent_performance_metrics=as_map(row["agents"]),
            memory_usage_metrics=as_map(row["memory"]),
        )

    async def read_completed(self, flow: FlowStatus) -> list[RowMapping]:
        """Return the newest flows of the type and engagement of a flow that completed."""
        account = self._scope.client_account_id
        return await read_completed(self._db, account, flow.engagement_id, flow.flow_type)

    async def _holders(self, *, is_needed: bool = False) -> Holders | None:
        """Return who holds which flow; None where nobody can tell.

        Raises:
            RedisUnavailable: it is needed, and Redis does not answer.
        """
        if self._redis is None:
            return None
        try:
            return await read_holders(self._redis)
        except RedisUnavailable:
            if is_needed:
                raise
            return None

    async def _skipped(self, *rows: Mapping[Any, Any]) -> dict[UUID, SkippedEvents]:
        """Return what was skipped of the flows of these rows; nothing where nobody can tell."""
        if self._redis is None:
            return {}
        engagements = {row["flow_id"]: row["engagement_id"] for row in rows}
        try:
            return await read_skipped(self._redis, self._scope.client_account_id, engagements)
        except RedisUnavailable:
            return {}

    async def _read(self, name: str, flow_id: UUID | str) -> RowMapping:
        flow = flow_uuid(flow_id)
        row = await read_one(self._db, name, self._scope, flow)
        if row is None:
            await check_sight(self._db)
            raise await no_such_flow(self._db, flow)
        return row
