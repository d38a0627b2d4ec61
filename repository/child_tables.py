"""The child tables that a database has, and the parts of statements that read them.

A part is made of a specification's names, which are checked to be plain ones, and of nothing else. It stands
in a statement where that has a line `-- include: <part>`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.flow_types.catalog import SPECIFICATIONS
from masterflow.domain.flow_types.specification import ChildTable, FlowSpec, Phases
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement

_NO_RIGHT: Final = "this role may not read it; grant SELECT"
# What stands for the tables where there is none.
_NO_CHILD: Final = (
    "select null::uuid as flow_id, null::uuid as master_flow_id, null::uuid as client_account_id,"
    " null::uuid as engagement_id, null::timestamptz as updated_at where false"
)
_NO_CHILD_OF_PAGE: Final = (
    "select null::text as version, null::uuid as client_account_id, null::uuid as engagement_id where false"
)

# Of the small columns.
_MOST_BYTES: Final = 8_192

# What Python has a time for.
_FIRST_DAY, _LAST_DAY = "0001-01-02", "9999-12-30"


@dataclass(frozen=True, slots=True)
class FoundTable:
    """The child table of a type as a database has it; `types` are those of its columns."""

    spec: FlowSpec
    table: ChildTable
    types: Mapping[str, str]

    @property
    def misfit(self) -> str:
        """Return why none of its rows can be matched with a master; empty if they can."""
        table = self.table
        for column in (table.flow_id, table.client_account_id, table.engagement_id):
            if self.types.get(column) != "uuid":
                return f"{column} is {self.types.get(column, 'missing')}, not uuid"
        return ""

    @property
    def columns(self) -> list[str]:
        """Return the columns that say a phase is complete, of those that are there."""
        return [column for column in self.table.columns if column in self.types]

    @property
    def flags(self) -> list[str]:
        """Return those of these columns that hold a boolean."""
        return [column for column in self.columns if self.types[column] == "boolean"]

    def keeps(self, course: Phases) -> bool:
        """Return whether every phase of a course has its column."""
        return all(self.table.completed.get(phase) in self.types for phase in course)

    @property
    def is_linked(self) -> bool:
        """Return whether its rows name their master; else they have the master's id."""
        return self.table.master_flow_id in self.types

    @property
    def source(self) -> str:
        """Return what its rows are selected from, as `child`."""
        return f"from migration.{self.table.name} as child"

    @property
    def tenant(self) -> str:
        """Return the tenant's columns under their own names."""
        named = (
            ("client_account_id", self.table.client_account_id),
            ("engagement_id", self.table.engagement_id),
        )
        return ", ".join(f"child.{column} as {name}" for name, column in named)

    def text(self, column: str) -> str:
        """Return a column as text."""
        return f"child.{column}::text" if column in self.types else "null::text"

    def json(self, column: str) -> str:
        """Return a small column as JSON, whatever its type is."""
        return f"to_json(child.{column})" if column in self.types else "null::json"

    def document(self, column: str) -> str:
        """Return a column that holds a document; one that no index can look into comes as its text."""
        if column not in self.types:
            return "null::jsonb"
        return f"child.{column}" if self.types[column] == "jsonb" else f"to_jsonb(child.{column}::text)"

    def time(self, column: str) -> str:
        """Return a time; NULL where it is none that Python has."""
        if not self.types.get(column, "").startswith("timestamp"):
            return "null::timestamptz"
        value = f"child.{column}::timestamptz"
        return f"case when {value} between '{_FIRST_DAY}' and '{_LAST_DAY}' then {value} end"

    @property
    def completed(self) -> str:
        """Return the columns that say a phase is complete, as one object."""
        pairs = [f"'{column}', to_jsonb(child.{column})" for column in self.columns]
        return f"jsonb_build_object({', '.join(pairs)})"

    def children_of(self, master: str) -> str:
        """Return the condition that a row is a child of that master."""
        own, named = self.table.flow_id, self.table.master_flow_id
        if not self.is_linked:
            return f"child.{own} = {master}"
        return f"(child.{named} = {master} or (child.{own} = {master} and child.{named} is null))"


async def child_tables(session: AsyncSession) -> list[FoundTable]:
    """Return the child tables that this database has and whose rows can be read and matched with masters."""
    found = await _find(session, tuple(SPECIFICATIONS.values()))
    return [one for one, is_readable in found if is_readable and not one.misfit]


async def unfit_tables(session: AsyncSession) -> dict[str, str]:
    """Return the other child tables that this database has, each with why it is left alone."""
    found = await _find(session, tuple(SPECIFICATIONS.values()))
    reasons = {one.table.name: one.misfit if can_read else _NO_RIGHT for one, can_read in found}
    return {f"migration.{name}": reason for name, reason in reasons.items() if reason}


async def find_table(session: AsyncSession, spec: FlowSpec) -> FoundTable:
    """Return the child table of a type as it is; one that is missing has no columns."""
    for one, _ in await _find(session, (spec,)):
        return one
    return FoundTable(spec, spec.table, {})


async def _find(session: AsyncSession, specs: Sequence[FlowSpec]) -> list[tuple[FoundTable, bool]]:
    tables = [(spec, spec.child) for spec in specs if spec.child]
    names = [table.name for _, table in tables]
    async with translated_errors():
        listed = await session.execute(statement("find_child_tables"), {"names": names})
    rows = {row.name: row for row in listed}
    return [
        (FoundTable(spec, table, rows[table.name].columns), rows[table.name].is_readable)
        for spec, table in tables
        if table.name in rows
    ]


def every_child(tables: Sequence[FoundTable]) -> str:
    """Return the part that selects each child's flow_id, master_flow_id, updated_at and tenant."""
    selects = (
        f"select child.{one.table.flow_id} as flow_id,"
        f" {f'child.{one.table.master_flow_id}' if one.is_linked else 'null::uuid'} as master_flow_id,"
        f" {one.tenant}, {_updated_at(one)} as updated_at {one.source}"
        for one in tables
    )
    return _union(selects) or _NO_CHILD


def child(one: FoundTable) -> str:
    """Return the part that selects what a backfill reads of the children of `flow`."""
    table = one.table
    listed, details = one.json(table.phases_completed), one.json(table.error_details)
    message, error_phase = one.text(table.error_message), one.text(table.error_phase)
    return f"""
select
    child.{table.flow_id} as child_flow_id,
    cast(:rules as text) || child.xmin::text as version,
    {one.text(table.status)} as status,
    {one.json(table.progress)} as progress,
    {one.text(table.current_phase)} as current_phase,
    {one.time(table.updated_at)} as updated_at,
    {one.time(table.completed_at)} as completed_at,
    {one.document(table.document)} as document,
    {one.completed} as completed,
    case
        when pg_column_size({listed}) <= {_MOST_BYTES} then {listed}
        when {listed} is not null then '"more than {_MOST_BYTES} bytes"'::json
    end as phases_completed,
    case when coalesce({message}, {error_phase}, {details}::text) is not null then json_build_object(
        'message', left({message}, 4000),
        'phase', {error_phase},
        'details', case when pg_column_size({details}) <= {_MOST_BYTES} then {details} end
    ) end as error
{one.source}
where
    flow.flow_type = '{one.spec.flow_type}'
    and {one.children_of("flow.flow_id")}
    and child.{table.client_account_id} = flow.client_account_id
    and child.{table.engagement_id} = flow.engagement_id"""


def child_facts(one: FoundTable) -> str:
    """Return the part that selects the small facts of the children of `:flow_id`, and no document."""
    table = one.table
    assets = f"child.{table.assets}::json" if table.assets in one.types else "null::json"
    return f"""
select
    child.{table.flow_id} as flow_id,
    {one.tenant},
    {one.text(table.status)} as status,
    {one.json(table.progress)} as progress,
    {one.text(table.current_phase)} as current_phase,
    {one.text(table.error_phase)} as error_phase,
    {one.completed} as completed,
    case when json_typeof({assets}) = 'array' then json_array_length({assets}) end as discovered_assets,
    {one.time(table.updated_at)} as updated_at,
    {one.time(table.completed_at)} as completed_at
{one.source}
where {one.children_of(":flow_id")}"""


def children_of_page(tables: Sequence[FoundTable]) -> str:
    """Return the part that selects the children of a row of `page`, each by an index."""
    return _union(select for one in tables for select in _children_of_page(one)) or _NO_CHILD_OF_PAGE


def _children_of_page(one: FoundTable) -> Iterable[str]:
    of_type = f"page.flow_type = '{one.spec.flow_type}'"
    select = f"select child.xmin::text as version, {one.tenant} {one.source} where {of_type}"
    own, named = one.table.flow_id, one.table.master_flow_id
    if one.is_linked:
        yield f"{select} and child.{own} = page.flow_id and child.{named} is null"
        yield f"{select} and child.{named} = page.flow_id"
    else:
        yield f"{select} and child.{own} = page.flow_id"


def completions(one: FoundTable, course: Phases) -> dict[str, str]:
    """Return the parts that complete the phase of `:completed_column`, and count those of a course."""
    counted = [column for phase in course if (column := one.table.completed.get(phase)) in one.flags]
    return {
        "held_flags": "".join(
            f"{column} or :completed_column = '{column}' as {column},\n" for column in one.flags
        ),
        "set_flags": "".join(f"{column} = held.{column},\n" for column in one.flags),
        "complete": " + ".join(f"held.{column}::int" for column in counted) or "0",
    }


def _updated_at(one: FoundTable) -> str:
    return f"child.{one.table.updated_at}" if one.table.updated_at in one.types else "null::timestamptz"


def _union(selects: Iterable[str]) -> str:
    return "\nunion all\n".join(selects)
