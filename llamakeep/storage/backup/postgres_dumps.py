"""
Backups of PostgreSQL databases, by its own `pg_dump` and `pg_restore`.

They read and write one schema: the connection's, which is usually `public`.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from llamakeep.domain import utc_now
from llamakeep.errors import DatabaseInUse, StorageUnavailable
from llamakeep.storage.backup.examining import Findings
from llamakeep.storage.backup.files import new_backup
from llamakeep.storage.backup.restored import MAY_HAVE_BEEN_ASKED
from llamakeep.storage.database.postgres.connecting import (
    FAILURES,
    Connector,
    reason_of,
)
from llamakeep.storage.database.postgres.url import PostgresUrl
from llamakeep.storage.database.private_files import create_private
from llamakeep.storage.metadata import metadata

_OTHERS = """
SELECT usename, count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL
-- Of another user's connection, only superusers see the type.
AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY usename ORDER BY usename
"""
_HAS_TABLES = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1)"
_LOOKS, _PAUSE = 10, 0.1
"""How often other connections are counted, and the seconds between."""
_LIBPQ_NAMES = {"database": "dbname"}


@dataclass(frozen=True, slots=True)
class _Server:
    major: int
    schema: str


class PostgresPrograms:
    """
    PostgreSQL's programs for backups.

    Args:
        pg_dump: The path of one of them; by default, they are on the `PATH`.
    """

    def __init__(self, pg_dump: Path | None) -> None:
        self._folder = None if pg_dump is None else pg_dump.parent

    def run(self, name: str, *arguments: str, url: PostgresUrl | None = None) -> str:
        """
        Run a program, and return what it prints.

        Raises:
            StorageUnavailable: It is not there, or it failed; the detail says why.
        """
        program = shutil.which(name, path=self._folder)
        if program is None:
            raise StorageUnavailable(
                f"{name} is not there. Nothing was changed. Install PostgreSQL's "
                "client programs (Debian's package postgresql-client), or name "
                "pg_dump in LLAMAKEEP_PG_DUMP."
            )
        target, environment = ([], {}) if url is None else _libpq(url)
        done = subprocess.run(  # noqa: S603 - the operator chose the program
            [program, *arguments, *target],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "error:" in line]
            said = said or done.stderr.splitlines() or ["no reason is given"]
            raise StorageUnavailable(f"{said[0].rstrip('.')}.")
        return done.stdout

    def check_version(self, server: int) -> None:
        """Refuse programs that are older than the server, as they refuse it."""
        found = re.search(r"\) (\d+)", self.run("pg_dump", "--version"))
        ours = int(found[1]) if found else 0
        if ours < server:
            raise StorageUnavailable(
                f"pg_dump is of PostgreSQL {ours}, and the server of {server}, which "
                "it cannot read. Nothing was changed. Install the client programs of "
                f"{server} (Debian's package postgresql-client-{server}), or name "
                "their pg_dump in LLAMAKEEP_PG_DUMP."
            )


async def find_server(url: PostgresUrl) -> _Server:
    """Return which version the server has, and the schema of its tables."""
    async with _connected(url) as connection:
        schema = await connection.fetchval("SELECT current_schema()")
        return _Server(connection.get_server_version().major, schema)


def dump(
    url: PostgresUrl, server: _Server, file: Path, programs: PostgresPrograms
) -> Findings:
    """
    Write a database, at one moment, to a backup.

    Raises:
        StorageUnavailable: It cannot be written.
    """
    programs.check_version(server.major)
    with new_backup(file) as part:
        # Not before: it becomes readable by its owner alone.
        create_private(part).close()
        programs.run(
            "pg_dump",
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--schema={server.schema}",
            f"--file={part}",
            url=url,
        )
        return examine_dump(part, programs)


def examine_dump(file: Path, programs: PostgresPrograms) -> Findings:
    """Look which tables a backup has."""
    listed = programs.run("pg_restore", "--list", str(file))
    found = {line.split()[-2] for line in listed.splitlines() if " TABLE DATA " in line}
    missing = sorted({"users", "runs", "alembic_version"} - found)
    return Findings(
        None,
        {"tables": len(found & {*metadata.tables, "alembic_version"})},
        [f"It has no table {name}." for name in missing],
        note="Texts and images are not read in a backup of PostgreSQL: restore it to "
        "an empty database, and verify that.",
    )


async def check_target(
    url: PostgresUrl, server: _Server, *, is_replaced: bool
) -> str | None:
    """
    Put the tables that are there aside, into another schema, and return its name.

    Raises:
        DatabaseInUse: Something is connected to the database.
        StorageUnavailable: There are tables, and they are not to be replaced.
    """
    async with _connected(url) as connection:
        await _check_unused(url, connection)
        if not await connection.fetchval(_HAS_TABLES, server.schema):
            return None
        if not is_replaced:
            raise StorageUnavailable(
                f"There are tables in {url.shown}. Nothing was changed. With "
                "`--replace`, their schema is renamed and kept, and the backup takes "
                "its place."
            )
        old = f"replaced_{utc_now():%Y%m%dT%H%M%S%f}".lower()
        async with connection.transaction():
            schema = f'SCHEMA "{server.schema}"'
            await connection.execute(f'ALTER {schema} RENAME TO "{old}"')
            await connection.execute(f"CREATE {schema}")
        return old


async def check_unused(url: PostgresUrl) -> None:
    """
    Check that no server uses a database, nor anything else.

    Raises:
        DatabaseInUse: Something is connected to it.
    """
    async with _connected(url) as connection:
        await _check_unused(url, connection)


async def _check_unused(url: PostgresUrl, connection: asyncpg.Connection) -> None:
    for _ in range(_LOOKS):
        others = await connection.fetch(_OTHERS)
        if not others:
            return
        await asyncio.sleep(_PAUSE)  # they may be ending
    whose = ", ".join(f"{count} of the user {user}" for user, count in others)
    raise DatabaseInUse(
        f"{url.shown} has other connections ({whose}). Nothing was changed. Stop the "
        "servers that use it, and poolers in front of it."
    )


def restore_dump(
    file: Path, url: PostgresUrl, server: _Server, programs: PostgresPrograms
) -> None:
    """Bring what a backup has into a schema without tables, all of it or nothing."""
    programs.run(
        "pg_restore",
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        f"--schema={server.schema}",
        str(file),
        url=url,
    )


async def finish_restoring(url: PostgresUrl) -> None:
    """Have the answers looked for that the runs in a backup may have got since."""
    async with _connected(url) as connection:
        await connection.execute(MAY_HAVE_BEEN_ASKED)


async def put_back(url: PostgresUrl, server: _Server, old: str | None) -> None:
    """Undo `check_target`, after a restoration that failed."""
    if old is None:
        return
    async with _connected(url) as connection, connection.transaction():
        await connection.execute(f'DROP SCHEMA "{server.schema}" CASCADE')
        await connection.execute(f'ALTER SCHEMA "{old}" RENAME TO "{server.schema}"')


def _libpq(url: PostgresUrl) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the arguments and variables that name a database to libpq's programs."""
    parsed = urlsplit(url.dsn)
    userinfo, at, hosts = parsed.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    query = dict(parse_qsl(parsed.query))
    secret = query.pop("password", unquote(password))
    query = {_LIBPQ_NAMES.get(name, name): value for name, value in query.items()}
    environment = {"PGPASSWORD": secret} if secret else {}
    if url.trusts_system:
        environment |= {"PGSSLROOTCERT": "system", "PGSSLMODE": "verify-full"}
    if "options" in url.server_settings:
        environment["PGOPTIONS"] = url.server_settings["options"]
    # The password is not among the arguments, which others of this machine can see.
    shown = parsed._replace(netloc=f"{user}{at}{hosts}", query=urlencode(query))
    return ["--dbname", urlunsplit(shown)], environment


@asynccontextmanager
async def _connected(url: PostgresUrl) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await Connector(url, is_hurried=False).connect(is_pooled=False)
    except FAILURES as error:
        raise StorageUnavailable(
            f"{url.where} cannot be used: {reason_of(error)}"
        ) from error
    try:
        yield connection
    except asyncpg.PostgresError as error:
        raise StorageUnavailable(f"{url.where} says: {reason_of(error)}") from error
    finally:
        await connection.close()
