"""Databases that come and go on one server."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from masterflow.repository.database import DatabaseSettings, make_engine
from masterflow.repository.tables import create_tables


def engine_for(url: str) -> AsyncEngine:
    """Return an engine of ours, whatever the environment says."""
    return make_engine(DatabaseSettings.model_validate({"DATABASE_URL": url}))


def fill_with_tables(url: str) -> None:
    """Create our tables in a database."""

    async def create() -> None:
        engine = engine_for(url)
        await create_tables(engine)
        await engine.dispose()

    asyncio.run(create())


@contextmanager
def temporary_database(
    server_url: str, *, template: str = "template1", encoding: str | None = None
) -> Iterator[str]:
    """Give the URL of a new database like the template, or empty in an encoding; drop it afterwards."""
    server = make_url(server_url)
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as connection:
        create = sql.SQL("create database {} template {}").format(
            sql.Identifier(name), sql.Identifier("template0" if encoding else template)
        )
        if encoding:
            create += sql.SQL(" lc_collate 'C' lc_ctype 'C' encoding {}").format(encoding)
        connection.execute(create)
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def is_answering(address: str) -> bool:
    """Return whether a Postgres, or what stands before it, takes connections at this address of psycopg's."""
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
