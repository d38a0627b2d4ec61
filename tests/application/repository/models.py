"""The application's own models of the two tables, as far as it uses them, and its own engine."""

import os
import uuid
from typing import Any

from sqlalchemy import String, create_engine
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """The application's tables."""


class MasterFlow(Base):
    """The summary of a flow, which the application makes and reads."""

    __tablename__ = "crewai_flow_state_extensions"
    __table_args__ = {"schema": "migration"}

    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, default=uuid.uuid4)
    flow_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), unique=True)
    client_account_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    engagement_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    user_id: Mapped[str] = mapped_column(String(255))
    flow_type: Mapped[str] = mapped_column(String(50))
    flow_status: Mapped[str] = mapped_column(String(50), default="initialized")
    flow_metadata: Mapped[dict[str, Any] | None] = mapped_column(JSONB, default=dict)


class ChildFlow(Base):
    """The heavy data of a flow."""

    __tablename__ = "discovery_flows"
    __table_args__ = {"schema": "migration"}

    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, default=uuid.uuid4)
    flow_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), unique=True)
    client_account_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    engagement_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    user_id: Mapped[str] = mapped_column(String)
    flow_name: Mapped[str] = mapped_column(String(255))


def session() -> Session:
    """Return a session of the application's own."""
    return Session(create_engine(os.environ["DATABASE_URL"]))
