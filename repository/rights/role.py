"""Who we are to a Postgres, and which privileges of those that a worker needs our role lacks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from masterflow.domain.flow_types.catalog import SPECIFICATIONS
from masterflow.repository.database import translated_errors
from masterflow.repository.sql import statement
from masterflow.repository.tables import SCHEMA, CrewAIFlowStateExtensions

_MERGED: Final = (
    "phase_transitions",
    "error_history",
    "agent_collaboration_log",
    "phase_execution_times",
    "memory_usage_metrics",
    "agent_performance_metrics",
    "flow_persistence_data",
    "flow_status",
    "retry_count",
    "flow_metadata",
)
_KEY: Final = ("flow_id", "client_account_id", "engagement_id")
_DECLARED: Final = ("user_id", "flow_type", "flow_name", "flow_configuration")

#: The columns of the master table that a worker has each privilege for.
MASTER_RIGHTS: Final[Mapping[str, Sequence[str]]] = {
    "SELECT": (*_KEY, *_DECLARED, *_MERGED, "created_at", "updated_at"),
    "INSERT": ("id", *_KEY, *_DECLARED, "flow_status", "flow_persistence_data", "flow_metadata"),
    "UPDATE": (*_MERGED, *_DECLARED, "updated_at"),
}


@dataclass(frozen=True, slots=True)
class Role:
    """Who we are to a server, and whether it lets us write."""

    #: Both quoted where they have to be.
    role: str
    database: str
    is_standby: bool
    is_read_only: bool
    read_only_source: str


@dataclass(frozen=True, slots=True)
class MissingRight:
    """A privilege that our role lacks: on the schema if there is no name, on all columns if none is named."""

    name: str | None
    privilege: str
    columns: Sequence[str]

    @property
    def privileges(self) -> str:
        """Return it as GRANT takes it."""
        return f"{self.privilege} ({', '.join(self.columns)})" if self.columns else self.privilege

    @property
    def place(self) -> str:
        """Return what it is on, as GRANT takes that."""
        return f"{SCHEMA}.{self.name}" if self.name else f"SCHEMA {SCHEMA}"


async def limit_waits(db: AsyncSession) -> None:
    """Let no statement of this transaction take long, as somebody waits for the answer."""
    limits = {"lock_timeout": "1000", "statement_timeout": "3000", "idle_timeout": "10000"}
    async with translated_errors():
        await db.execute(statement("set_connection"), {**limits, "is_local": True})


async def describe_role(db: AsyncSession) -> Role:
    """Return who we are and whether we may write."""
    async with translated_errors():
        return Role(**(await db.execute(statement("describe_role"))).mappings().one())


async def missing_rights(db: AsyncSession) -> list[MissingRight]:
    """Return what our role lacks of all that a worker needs on the tables there are."""
    master = CrewAIFlowStateExtensions.__tablename__
    needed = [
        {"name": master, "privilege": privilege, "columns": columns}
        for privilege, columns in MASTER_RIGHTS.items()
    ]
    children = [spec.child.name for spec in SPECIFICATIONS.values() if spec.child]
    needed += [{"name": name, "privilege": "SELECT", "columns": ()} for name in children]
    async with translated_errors():
        rows = await db.execute(statement("find_missing_rights"), {"needed": json.dumps(needed)})
    return [MissingRight(**row) for row in rows.mappings()]


async def trigger_names(db: AsyncSession) -> list[str]:
    """Return the triggers that may change or skip what is written into a master row."""
    async with translated_errors():
        return list((await db.execute(statement("find_triggers"))).scalars())
