"""Databases on PostgreSQL that cannot be used, each with its reason and its fix."""

import asyncio
import secrets
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from llamakeep.check.checks import run_checks
from llamakeep.domain import utc_now
from llamakeep.storage import migrate_database
from llamakeep.storage.database import schema
from tests.check.conftest import look, the_only
from tests.postgres import (
    PostgresServer,
    PostgresUnavailable,
    stoppable_postgres,
)

pytestmark = pytest.mark.usefixtures("good")


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> str:
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", postgres_url)
    return postgres_url


async def test_a_database_on_postgresql_is_looked_at_from_nothing_to_newer_tables(
    chosen: str,
) -> None:
    without = the_only(await look(), "database")
    await migrate_database(chosen)
    good = await look()
    hour = timedelta(hours=1)
    late = [
        each
        for each in await run_checks(now=lambda: utc_now() + hour)
        if each.about == "database"
    ]
    await execute(chosen, "UPDATE alembic_version SET version_num = '0001'")
    older = the_only(await look(), "database")
    await execute(chosen, "UPDATE alembic_version SET version_num = '9999'")
    newer = the_only(await look(), "database")
    await execute(
        chosen,
        f"UPDATE alembic_version SET version_num = '{schema.HEAD}'",
        f'ALTER DATABASE "{urlsplit(chosen).path[1:]}" '
        "SET default_transaction_read_only = on",
    )
    read_only = the_only(await look(), "database")

    assert "no tables" in without.message
    assert "llamakeep migrate" in without.fix
    assert {each.level for each in good} == {"ok"}
    assert "ahead of that of PostgreSQL" in late[0].message
    assert "NTP" in late[0].fix
    assert "at revision 0001" in older.message
    assert "llamakeep migrate" in older.fix
    assert "at revision 9999" in newer.message
    assert "Install the version" in newer.fix
    assert "read-only" in read_only.message
    assert "primary server" in read_only.fix


async def test_a_user_who_may_not_create_tables_fails(
    chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"reader_{urlsplit(chosen).path[-8:]}"
    await execute(chosen, f"CREATE ROLE {role} LOGIN")
    try:
        url = chosen.replace("//postgres@", f"//{role}@")
        monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", url)

        found = the_only(await look(), "database")
    finally:
        await execute(chosen, f"DROP ROLE {role}")

    assert "may not create tables" in found.message
    assert "OWNER TO" in found.fix


async def test_a_database_in_latin1_fails(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"latin1_{secrets.token_hex(8)}"
    await execute(
        postgres_server,
        f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    try:
        url = f"{postgres_server.rpartition('/')[0]}/{name}"
        monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", url)

        found = the_only(await look(), "database")
    finally:
        await execute(postgres_server, f"DROP DATABASE {name}")

    assert "has the encoding LATIN1" in found.message
    assert "UTF8" in found.fix


async def test_a_database_that_does_not_exist_is_told_from_a_user_that_does_not(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres_server.rpartition("/")[0]
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", f"{server}/gone")
    database = the_only(await look(), "database")
    stranger = server.replace("//postgres@", "//stranger@")
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", f"{stranger}/postgres")
    user = the_only(await look(), "database")

    assert '"gone" does not exist' in database.message
    assert "createdb" in database.fix
    assert '"stranger" does not exist' in user.message
    assert "name and password" in user.fix


async def test_a_server_that_is_not_there_fails(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port}/postgres"
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", url)

    found = the_only(await look(), "database")

    assert "connection refused" in found.message
    assert "Start PostgreSQL" in found.fix


@pytest.fixture
def strict_server() -> Iterator[PostgresServer]:
    """A server that asks for passwords, and can be frozen."""
    try:
        with stoppable_postgres() as server:
            yield server
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
async def test_a_wrong_password_and_a_frozen_server_fail(
    strict_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = strict_server.url.replace("postgres@", "postgres:some-secret@")
    await execute(
        strict_server.url,
        "ALTER ROLE postgres PASSWORD 'another'",
        "CREATE TEMP TABLE rules (line text)",
        "INSERT INTO rules VALUES ('host all all 127.0.0.1/32 scram-sha-256')",
        "DO $$ BEGIN EXECUTE format('COPY rules TO %L', "
        "current_setting('hba_file')); END $$",
        "SELECT pg_reload_conf()",
    )
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", wrong)
    refused = the_only(await look(), "database")
    await asyncio.to_thread(strict_server.pause)
    frozen = the_only(await run_checks(longest=0.5), "database")
    await asyncio.to_thread(strict_server.resume)

    assert "password authentication failed" in refused.message
    assert "name and password" in refused.fix
    assert "some-secret" not in refused.message
    assert "within 0.5 s" in frozen.message
