"""Postgres and Redis servers out of Python packages, for machines that have none."""

from scripts.embedded.postgres import EmbeddedPostgres
from scripts.embedded.redis import EmbeddedRedis
from scripts.embedded.server import EmbeddedServer, ServerNotReady

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServer", "ServerNotReady"]
