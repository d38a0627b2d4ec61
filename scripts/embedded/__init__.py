"""Postgres and Redis servers out of Python packages, for machines that have none."""

from masterflow.scripts.embedded.postgres import EmbeddedPostgres
from masterflow.scripts.embedded.redis import EmbeddedRedis
from masterflow.scripts.embedded.server import EmbeddedServer, ServerNotReady

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServer", "ServerNotReady"]
