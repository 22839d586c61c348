"""A look at a database that changes nothing, also beside a server that uses it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DBAPIError

from llamakeep.domain.values import value
from llamakeep.errors import DatabaseMissing, StorageUnavailable
from llamakeep.storage.database import schema
from llamakeep.storage.database.private_files import with_suffix
from llamakeep.storage.database.tables import clock
from llamakeep.storage.storage import POSTGRES, file_of, open_database

try:
    import pysqlite3 as sqlite3
except ImportError:  # no wheel for this platform
    import sqlite3

HEAD = schema.HEAD
"""The revision that this version of llamakeep needs."""
_PATIENCE = 5.0
"""Seconds to wait for a lock of another process."""
_ANY_TABLE = (
    "SELECT name FROM sqlite_master WHERE type = 'table' "
    "AND name NOT LIKE 'sqlite%' AND name <> 'alembic_version'"
)
_SEEN_AT = select(clock.c.seen_at).where(clock.c.id == 1)
_SERVER = text(
    "SELECT current_setting('server_version') AS version, clock_timestamp() AS now, "
    "current_setting('transaction_read_only') = 'on' AS is_read_only, "
    "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, "
    "current_setting('max_connections')::int AS connections"
)
_MAY_WRITE = text(
    "SELECT has_table_privilege('runs', 'INSERT') "
    "AND has_table_privilege('runs', 'UPDATE') "
    "AND has_table_privilege('runs', 'DELETE')"
)


@value
class DatabaseState:
    """What there is to know about a database without changing it."""

    version: str
    """The program's: `SQLite 3.51.3`."""
    revision: str | None
    """The schema's, `None` if there are no tables yet."""
    seen_at: datetime | None
    """When the clock of a server on this database was last plausible."""
    now: datetime | None = None
    """The time there, if the database has a clock of its own."""
    may_write: bool = True
    """Whether rows can be written, as far as permissions say."""
    may_create: bool = True
    """Whether tables can be created."""
    connections: int | None = None
    """How many connections there may be at most, of all programs."""


def sqlite_file(url: str) -> Path | None:
    """
    Return the file of a SQLite database; `None` for PostgreSQL.

    Raises:
        StorageUnavailable: The URL is invalid.
    """
    return None if POSTGRES.match(url) else file_of(url)


def inspect_file(path: Path) -> DatabaseState:
    """
    Look at a SQLite file; it blocks.

    Raises:
        DatabaseMissing: There is none.
        StorageUnavailable: It cannot be read, or not be written, or is not ours.
    """
    if not path.exists():
        raise DatabaseMissing(f"There is no file {path} yet.")
    try:
        with path.open("r+b"):
            pass
        # Without a log no process uses the file, and reading it must not create one.
        mode = "ro" if with_suffix(path, "-wal").exists() else "ro&immutable=1"
        name = quote(path.absolute().as_posix(), safe="/:")
        connection = sqlite3.connect(
            f"file:{name}?mode={mode}", uri=True, timeout=_PATIENCE
        )
        try:
            return _state_of_file(lambda query: connection.execute(query).fetchone())
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageUnavailable(f"{path}: {reason}.") from error


def _state_of_file(first: Callable[[str], tuple[str] | None]) -> DatabaseState:
    def has_table(name: str) -> bool:
        return first(f"SELECT 1 FROM sqlite_master WHERE name = '{name}'") is not None  # noqa: S608 - our own names

    revision = seen_at = None
    if has_table("alembic_version"):
        row = first("SELECT version_num FROM alembic_version")
        revision = row and row[0]
    if not (revision or "").isdecimal() and (row := first(_ANY_TABLE)) is not None:
        raise schema.another_applications(row[0])
    if has_table("clock"):
        row = first("SELECT seen_at FROM clock WHERE id = 1")
        if row is not None:
            seen_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                microseconds=int(row[0])
            )
    return DatabaseState(
        version=f"SQLite {sqlite3.sqlite_version}", revision=revision, seen_at=seen_at
    )


async def inspect_server(url: str) -> DatabaseState:
    """
    Look at a PostgreSQL database.

    Raises:
        StorageUnavailable: It cannot be used; see `sqlstate_of`.
    """
    database = open_database(url, is_owner=False)
    try:
        return await database.read(_state_of_server)
    except DBAPIError as error:
        raise StorageUnavailable(f"It cannot be read: {error.orig}") from error
    finally:
        await database.close()


def sqlstate_of(error: BaseException | None) -> str | None:
    """Return PostgreSQL's code of the error that is behind another, if there is one."""
    while error is not None:
        found = getattr(error, "sqlstate", None)
        if isinstance(found, str):
            return found
        error = error.__cause__
    return None


def _state_of_server(connection: Connection) -> DatabaseState:
    server = connection.execute(_SERVER).one()
    revision = schema.revision(connection)
    has_tables = revision is not None and inspect(connection).has_table("runs")
    return DatabaseState(
        version=f"PostgreSQL {server.version.partition(' ')[0]}",
        revision=revision,
        seen_at=connection.scalar(_SEEN_AT) if revision == HEAD else None,
        now=server.now,
        may_write=not server.is_read_only
        and (not has_tables or bool(connection.scalar(_MAY_WRITE))),
        may_create=server.may_create,
        connections=server.connections,
    )
