"""The two tables as they stand in the field, and how a fresh database gets them."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Double,
    Float,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    false,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import Column, CreateSchema
from sqlalchemy.sql.elements import TextClause

from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.statuses import FLOW_STATUSES

SCHEMA = "migration"

# Any number will do, so long as nobody else in the database locks the same one.
_CREATE_TABLES_LOCK = 0x656E72696368

_EMPTY_OBJECT: TextClause = text("'{}'::jsonb")
_EMPTY_ARRAY: TextClause = text("'[]'::jsonb")
_EMPTY_JSON_OBJECT: TextClause = text("'{}'::json")


def _one_of(column: str, words: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in words)})"


class Table(DeclarativeBase):
    """What both tables share: the schema, and how Python types are stored."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        datetime: DateTime(timezone=True),
    }


class CrewAIFlowStateExtensions(Table):
    """The master row: what a flow is doing and what it did."""

    __tablename__ = "crewai_flow_state_extensions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    flow_id: Mapped[UUID] = mapped_column(unique=True)
    client_account_id: Mapped[UUID] = mapped_column(index=True)
    engagement_id: Mapped[UUID] = mapped_column(index=True)
    user_id: Mapped[str] = mapped_column(String(255))
    flow_type: Mapped[str] = mapped_column(String(50))
    flow_name: Mapped[str | None] = mapped_column(String(255))
    flow_status: Mapped[str] = mapped_column(String(50), server_default="initialized")
    flow_configuration: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    flow_persistence_data: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    agent_collaboration_log: Mapped[list[Any] | None] = mapped_column(server_default=_EMPTY_ARRAY)
    memory_usage_metrics: Mapped[dict[str, Any] | None] = mapped_column(server_default=_EMPTY_OBJECT)
    knowledge_base_analytics: Mapped[dict[str, Any] | None] = mapped_column(server_default=_EMPTY_OBJECT)
    phase_execution_times: Mapped[dict[str, Any] | None] = mapped_column(server_default=_EMPTY_OBJECT)
    agent_performance_metrics: Mapped[dict[str, Any] | None] = mapped_column(server_default=_EMPTY_OBJECT)
    crew_coordination_analytics: Mapped[dict[str, Any] | None] = mapped_column(server_default=_EMPTY_OBJECT)
    learning_patterns: Mapped[list[Any] | None] = mapped_column(server_default=_EMPTY_ARRAY)
    user_feedback_history: Mapped[list[Any] | None] = mapped_column(server_default=_EMPTY_ARRAY)
    adaptation_metrics: Mapped[dict[str, Any] | None] = mapped_column(server_default=_EMPTY_OBJECT)
    phase_transitions: Mapped[list[Any] | None] = mapped_column(server_default=_EMPTY_ARRAY)
    error_history: Mapped[list[Any] | None] = mapped_column(server_default=_EMPTY_ARRAY)
    retry_count: Mapped[int] = mapped_column(server_default=text("0"))
    parent_flow_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("migration.crewai_flow_state_extensions.flow_id", ondelete="SET NULL")
    )
    child_flow_ids: Mapped[list[Any] | None] = mapped_column(server_default=_EMPTY_ARRAY)
    flow_metadata: Mapped[dict[str, Any] | None] = mapped_column(server_default=_EMPTY_OBJECT)
    created_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime | None] = mapped_column(server_default=func.now())

    # Later additions; an older database may lack them, so they load only when asked for.
    execution_metadata: Mapped[dict[str, Any] | None] = mapped_column(
        server_default=_EMPTY_OBJECT, deferred=True
    )
    collection_flow_id: Mapped[UUID | None] = mapped_column(deferred=True)
    automation_tier: Mapped[str | None] = mapped_column(String(50), deferred=True)
    collection_quality_score: Mapped[float | None] = mapped_column(Float, deferred=True)
    data_collection_metadata: Mapped[dict[str, Any] | None] = mapped_column(
        server_default=_EMPTY_OBJECT, deferred=True
    )

    __table_args__ = (
        CheckConstraint("retry_count >= 0", name="chk_retry_count_positive"),
        CheckConstraint(_one_of("flow_status", FLOW_STATUSES), name="chk_valid_flow_status"),
        CheckConstraint(_one_of("flow_type", FLOW_TYPES), name="chk_valid_flow_type"),
        Index(
            "ix_crewai_flow_state_extensions_client_status",
            "client_account_id",
            "flow_status",
        ),
        Index("ix_crewai_flow_state_extensions_type_status", "flow_type", "flow_status"),
        Index("ix_crewai_flow_state_extensions_created_at", Column("created_at").desc()),
    )


class DiscoveryFlow(Table):
    """The child row: the heavy data of one discovery flow, and which phases are complete."""

    __tablename__ = "discovery_flows"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    flow_id: Mapped[UUID] = mapped_column(unique=True)
    master_flow_id: Mapped[UUID | None] = mapped_column(index=True)
    client_account_id: Mapped[UUID] = mapped_column(index=True)
    engagement_id: Mapped[UUID] = mapped_column(index=True)
    user_id: Mapped[str] = mapped_column(String)
    data_import_id: Mapped[UUID | None]
    flow_name: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20), server_default="active", index=True)
    progress_percentage: Mapped[float] = mapped_column(Double, server_default=text("0"))
    data_import_completed: Mapped[bool] = mapped_column(server_default=false())
    field_mapping_completed: Mapped[bool] = mapped_column(server_default=false())
    data_cleansing_completed: Mapped[bool] = mapped_column(server_default=false())
    asset_inventory_completed: Mapped[bool] = mapped_column(server_default=false())
    dependency_analysis_completed: Mapped[bool] = mapped_column(server_default=false())
    tech_debt_assessment_completed: Mapped[bool] = mapped_column(server_default=false())
    learning_scope: Mapped[str] = mapped_column(String(50), server_default="engagement")
    memory_isolation_level: Mapped[str] = mapped_column(String(20), server_default="strict")
    assessment_ready: Mapped[bool] = mapped_column(server_default=false())
    phase_state: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    agent_state: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    flow_type: Mapped[str | None] = mapped_column(String(100))
    current_phase: Mapped[str | None] = mapped_column(String(100))
    phases_completed: Mapped[Any] = mapped_column(JSON, nullable=True)
    flow_state: Mapped[Any] = mapped_column(JSON, nullable=True, server_default=_EMPTY_JSON_OBJECT)
    crew_outputs: Mapped[Any] = mapped_column(JSON, nullable=True)
    field_mappings: Mapped[Any] = mapped_column(JSON, nullable=True)
    discovered_assets: Mapped[Any] = mapped_column(JSON, nullable=True)
    dependencies: Mapped[Any] = mapped_column(JSON, nullable=True)
    tech_debt_analysis: Mapped[Any] = mapped_column(JSON, nullable=True)
    crewai_persistence_id: Mapped[UUID | None]
    crewai_state_data: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_phase: Mapped[str | None] = mapped_column(String(100))
    error_details: Mapped[Any] = mapped_column(JSON, nullable=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]

    # A later addition; an older database may lack it.
    data_validation_completed: Mapped[bool] = mapped_column(server_default=false(), deferred=True)


async def create_tables(engine: AsyncEngine) -> None:
    """Create the schema and those of the two tables that are missing; an existing table stays as it is.

    Two processes may do this at the same time.
    """
    async with engine.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(_CREATE_TABLES_LOCK)))
        # CREATE SCHEMA IF NOT EXISTS needs a privilege on the database even where the schema exists.
        if not await connection.run_sync(lambda sync: inspect(sync).has_schema(SCHEMA)):
            await connection.execute(CreateSchema(SCHEMA))
        await connection.run_sync(Table.metadata.create_all)
