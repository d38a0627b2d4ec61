"""Rows put back that were taken out or thinned."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.errors import InputInvalid
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement


@dataclass(frozen=True, slots=True)
class ArchivedFlow:
    """A row as an archive holds it."""

    flow_id: UUID
    parent_flow_id: UUID | None
    #: The names of its columns.
    columns: frozenset[str]
    #: Where it is told apart: {"digest", "row"} among other things, as JSON.
    line: str


@dataclass(frozen=True, slots=True)
class RestoredFlow:
    """What became of an archived row."""

    flow_id: UUID
    #: It is what its digest says; one that is not is left alone.
    is_whole: bool
    is_inserted: bool
    #: The row was there, thinned.
    is_replaced: bool


async def restore_flows(db: AsyncSession, flows: Iterable[ArchivedFlow]) -> list[RestoredFlow]:
    """Put back rows in the caller's transaction; a flow that is there and was not thinned stays as it is.

    Raises:
        InputInvalid: the table lacks a column that a row has.
    """
    async with translated_errors():
        columns = {row["name"]: row["quoted"] for row in await _columns(db)}
        restored: list[RestoredFlow] = []
        for named, alike in _by_columns(flows):
            if missing := named - columns.keys():
                raise InputInvalid(
                    f"The table lacks {', '.join(sorted(missing))}, which the archive has; add it."
                )
            meant = [quoted for name, quoted in columns.items() if name in named]
            text = statement(
                "restore_flows",
                columns=", ".join(meant).replace(":", r"\:"),
                assignments=", ".join(f"{one} = found.{one}" for one in meant).replace(":", r"\:"),
            )
            lines = f"[{','.join(flow.line for flow in alike)}]"
            rows = (await db.execute(text, {"lines": lines})).mappings()
            restored += [RestoredFlow(**row) for row in rows]
        return restored


async def link_parents(db: AsyncSession, parents: dict[UUID, UUID]) -> int:
    """Let these flows name these parents, as far as both are there; return how many still name none."""
    pairs = [{"flow_id": str(one), "parent_flow_id": str(parent)} for one, parent in parents.items()]
    async with translated_errors():
        await db.execute(statement("link_parents"), {"pairs": json.dumps(pairs)})
        found = statement("count_parentless")
        return int((await db.execute(found, {"flow_ids": list(parents)})).scalar_one())


async def _columns(db: AsyncSession) -> Sequence[dict[str, str]]:
    return [dict(row) for row in (await db.execute(statement("read_master_columns"))).mappings()]


def _by_columns(flows: Iterable[ArchivedFlow]) -> Iterator[tuple[frozenset[str], list[ArchivedFlow]]]:
    ordered = sorted(flows, key=lambda flow: sorted(flow.columns))
    for columns, alike in groupby(ordered, key=lambda flow: flow.columns):
        yield columns, list(alike)
