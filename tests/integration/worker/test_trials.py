from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from masterflow.domain.errors import RightsMissing
from masterflow.repository.backfill.reads import Scope, find_behind, read_pairs
from masterflow.repository.merge.trial import try_merge
from masterflow.repository.rights.role import MASTER_RIGHTS
from masterflow.scripts.embedded import EmbeddedPostgres
from masterflow.tasks.rights.postgres import postgres_rights
from tests.support.servers.databases import engine_for
from tests.support.servers.limited import LimitedRole, limited_role, page_grants

pytestmark = pytest.mark.anyio

MASTER, CHILD = "migration.crewai_flow_state_extensions", "migration.discovery_flows"
LEAST = [
    "grant usage on schema migration to {role}",
    f"grant select on {CHILD} to {{role}}",
    *(
        f"grant {privilege} ({', '.join(columns)}) on {MASTER} to {{role}}"
        for privilege, columns in MASTER_RIGHTS.items()
    ),
]
ROW = (
    f"insert into {MASTER} (id, flow_id, client_account_id, engagement_id, user_id, flow_type) select"
    " gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'ana', 'discovery'"
)
POLICIES = f"alter table {MASTER} enable row level security"


@pytest.fixture
def role(database_url: str) -> Iterator[LimitedRole]:
    """A role that may do what a worker does, column by column, and a row."""
    with limited_role(database_url, ROW, *LEAST) as role:
        yield role


async def told(role: LimitedRole) -> list[str]:
    """Return what is told of a role's rights."""
    engine = engine_for(role.url)
    try:
        return [sentence for result in await postgres_rights(engine) if (sentence := result.problem)]
    finally:
        await engine.dispose()


def dump(database_url: str) -> list[Any]:
    """Return what stands in the tables."""
    address = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        rows = "select ctid, xmin, it::text from {} it"
        return [connection.execute(rows.format(name).encode()).fetchall() for name in (MASTER, CHILD)]


async def test_the_least_rights_are_enough_and_the_trial_leaves_nothing(
    role: LimitedRole, database_url: str
) -> None:
    before = dump(database_url)
    assert await told(role) == []
    assert dump(database_url) == before


async def test_the_rights_of_the_page_are_enough(database_url: str) -> None:
    with limited_role(database_url, *page_grants("enrichment_worker")) as role:
        assert await told(role) == []
        with limited_role(database_url, *page_grants("enrichment_orchestrator")) as other:
            assert await told(other) == []


async def test_the_trial_needs_no_row(role: LimitedRole) -> None:
    role.run(f"truncate {MASTER} cascade")
    assert await told(role) == []


async def try_all(db: AsyncSession) -> None:
    async with db.begin_nested():
        await try_merge(db)
        await find_behind(db, Scope())
        await read_pairs(db, [uuid4()], Scope())


async def test_each_right_is_needed_and_named_with_the_grant(
    role: LimitedRole, session_factory: async_sessionmaker[AsyncSession]
) -> None:
    async with session_factory() as db:
        for privilege, columns in MASTER_RIGHTS.items():
            for column in columns:
                async with db.begin_nested() as savepoint:
                    right = f"{privilege} ({column}) on {MASTER}"
                    await db.execute(text(f"revoke {right} from {role.name}"))
                    await db.execute(text(f"set local role {role.name}"))
                    with pytest.raises(RightsMissing):
                        await try_all(db)
                    await savepoint.rollback()
    for right in (f"UPDATE (retry_count) ON {MASTER}", f"SELECT ON {CHILD}", "USAGE ON SCHEMA migration"):
        role.run(f"revoke {right} from {{role}}")
        sentence, *more = await told(role)
        assert not more
        assert sentence.startswith(f"The role {role.name} lacks {right}")
        assert f"run `GRANT {right} TO {role.name}`" in sentence
        role.run(f"grant {right} to {{role}}")
    role.run(f"revoke update on {MASTER} from {{role}}")
    [sentence] = await told(role)
    assert sentence.count("UPDATE") == 2


TRIGGER = (
    "create function migration.meddle() returns trigger language plpgsql as $$ begin {{}} end $$",
    f"create trigger meddler before insert or update on {MASTER} for each row"
    " execute function migration.meddle()",
)
CAUSES = {
    "a trigger that skips": (
        [TRIGGER[0].replace("{{}}", "return null;"), TRIGGER[1]],
        "The trigger meddler skips a new master row, so its events take no effect; let it return NEW.",
    ),
    "a trigger that skips updates": (
        [TRIGGER[0].replace("{{}}", "return null;"), TRIGGER[1].replace("insert or ", "")],
        "The trigger meddler skips the update of a master row, so its events take no effect",
    ),
    "a trigger that rewrites": (
        [
            TRIGGER[0].replace("{{}}", "new.error_history = '[]'; new.flow_status = 'active'; return new;"),
            TRIGGER[1],
        ],
        "The trigger meddler changes what a merge writes into error_history, flow_status",
    ),
    "a trigger that needs more rights": (
        [TRIGGER[0].replace("{{}}", "create table migration.log (); return new;"), TRIGGER[1]],
        "Our role may not do what a worker does (permission denied for schema migration); grant what",
    ),
    "a trigger that raises": (
        [TRIGGER[0].replace("{{}}", "raise exception 'locked, ask Bob';"), TRIGGER[1]],
        "The function migration.meddle(), which a trigger or policy calls, stops what a worker does"
        " (locked, ask Bob); let it raise nothing",
    ),
    "a trigger that raises at updates": (
        [
            TRIGGER[0].replace("{{}}", "raise exception 'locked' using errcode = '23514';"),
            TRIGGER[1].replace("insert or ", ""),
        ],
        "The function migration.meddle(), which a trigger or policy calls, stops what a worker does (locked)",
    ),
    "a trigger that misses its table": (
        [
            TRIGGER[0].replace("{{}}", "insert into migration.audit values (1); return new;"),
            TRIGGER[1].replace("before", "after"),
        ],
        'stops what a worker does (relation "migration.audit" does not exist); let it raise nothing',
    ),
    "no row can be seen": (
        [POLICIES],
        "hides every row of migration.crewai_flow_state_extensions from the role {role}; give it BYPASSRLS",
    ),
    "rows may be hidden": (
        [POLICIES, f"create policy p on {MASTER} using (client_account_id is not null or random() < 2)"],
        "may hide rows of migration.crewai_flow_state_extensions from the role {role}",
    ),
    "a policy that reads a setting": (
        [POLICIES, f"create policy p on {MASTER} using (user_id = current_setting('app.tenant'))"],
        'needs what our sessions do not set (unrecognized configuration parameter "app.tenant"); give the',
    ),
    "no row may be updated": (
        [POLICIES, f"create policy p on {MASTER} for select using (true)"],
        "lets the role {role} update no row of",
    ),
    "what is written is refused": (
        [POLICIES, f"create policy p on {MASTER} using (true) with check (false)"],
        "Our role may not do what a worker does (new row violates row-level security policy",
    ),
    "children may be hidden": (
        [
            f"alter table {CHILD} enable row level security",
            f"create policy p on {CHILD} using (user_id = current_user)",
        ],
        "may hide rows of migration.discovery_flows from the role {role}",
    ),
    "a column that is not there": (
        [f"alter table {MASTER} drop column phase_transitions"],
        "phase_transitions does not exist); run `flowctl init-db`",
    ),
    "a column of type json": (
        [f"alter table {MASTER} alter flow_metadata drop default, alter flow_metadata type json"],
        "The tables do not fit what a worker does (",
    ),
    "a column that must have a value": (
        [
            f"alter table {MASTER} add cost_centre text",
            f"update {MASTER} set cost_centre = 'x'",
            f"alter table {MASTER} alter cost_centre set not null",
        ],
        'makes no master row for a flow that an orchestrator declares (null value in column "cost_centre"',
    ),
    "transactions that only read": (
        ["alter role {role} set default_transaction_read_only = on"],
        "run `ALTER ROLE {role} RESET default_transaction_read_only`",
    ),
}


@pytest.mark.parametrize(("harm", "said"), CAUSES.values(), ids=CAUSES)
async def test_what_stands_in_a_worker_s_way_is_told_in_one_sentence(
    role: LimitedRole, harm: list[str], said: str
) -> None:
    role.run(*harm)
    [sentence] = await told(role)
    assert said.format(role=role.name) in sentence


@pytest.mark.parametrize(
    "harmless",
    [
        [TRIGGER[0].replace("{{}}", "new.updated_at = now(); return new;"), TRIGGER[1]],
        [POLICIES, f"create policy p on {MASTER} to {{role}} using (true)"],
        [POLICIES, "alter role {role} bypassrls"],
        [
            "create table migration.accounts (id uuid primary key)",
            f"insert into migration.accounts select client_account_id from {MASTER}",
            f"alter table {MASTER} add foreign key (client_account_id) references migration.accounts",
        ],
        [
            f"truncate {MASTER} cascade",
            "create table migration.accounts (id uuid primary key)",
            f"alter table {MASTER} add foreign key (client_account_id) references migration.accounts",
        ],
        [f"alter table {CHILD} alter crewai_state_data drop default, alter crewai_state_data type json"],
        [f"alter table {CHILD} drop column current_phase, drop column phases_completed"],
    ],
)
async def test_what_stands_in_nobody_s_way_is_not_told(role: LimitedRole, harmless: list[str]) -> None:
    role.run(*harmless)
    assert await told(role) == []


async def test_a_database_that_only_reads_is_told_with_what_ends_it(
    role: LimitedRole, engine: AsyncEngine
) -> None:
    database = engine.url.database
    role.run(f"alter database {database} set default_transaction_read_only = on")
    [sentence] = await told(role)
    assert f"run `ALTER DATABASE {database} RESET default_transaction_read_only`" in sentence


@pytest.fixture
def standby(own_postgres: EmbeddedPostgres) -> str:
    """The URL of a server in recovery."""
    address = make_url(own_postgres.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        [folder] = connection.execute("show data_directory").fetchone() or [""]
    own_postgres.stop()
    Path(folder, "standby.signal").touch()
    own_postgres.start()
    return own_postgres.url


async def test_a_standby_is_told(standby: str) -> None:
    engine = engine_for(standby)
    [result] = await postgres_rights(engine)
    await engine.dispose()
    assert result.sentence == (
        "This Postgres is a standby, which takes no writes; let DATABASE_URL name the primary."
    )
