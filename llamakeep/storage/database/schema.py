"""The schema's version, and migrating to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select, text

from llamakeep.errors import DatabaseOutdated, StorageUnavailable
from llamakeep.storage.database.columns import metadata

HEAD = "0033"
"""The newest migration; a constant, because importing Alembic takes long."""

OLDEST_SQLITE = (3, 42)
"""Older versions have no `secure-delete` for FTS5, which the migrations check."""

COPY_MARK = Table("copy_under_way", MetaData(), Column("source", Text, nullable=False))
"""In a database to which another one was copied in part; it says which."""

LONGEST_WAIT = 0.5
"""Seconds that a migration waits for a table that something uses on PostgreSQL."""
_MIGRATING = 1819041137
"""The number of the lock that a migrating process holds; any will do."""


@dataclass(frozen=True, slots=True)
class Step:
    """A migration."""

    revision: str
    what: str
    seconds: Mapping[str, float]
    """By database: for how long it locks a million runs, as measured, if for long."""


def revision(connection: Connection) -> str | None:
    """Return the database's migration; `None` for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def check_is_ours(connection: Connection) -> None:
    """
    Check that no other application has its tables here.

    In PostgreSQL it may have some, as extensions do, unless they are called as ours.

    Raises:
        StorageUnavailable: One has; the detail names some of its tables.
    """
    found = revision(connection)
    if found is not None and found.isdecimal():
        return
    names = {*inspect(connection).get_table_names()} - {"alembic_version"}
    if found is None and connection.dialect.name == "postgresql":
        names &= {*metadata.tables}
    if names or found is not None:
        raise another_applications(*sorted(names)[:3])


def another_applications(*tables: str) -> StorageUnavailable:
    """Return the error of a database that has such tables, but none of ours."""
    shown = ", ".join(f"{each[:64]!a}" for each in tables) or "'alembic_version'"
    return StorageUnavailable(
        f"The database is another application's: it has the tables {shown}. Nothing "
        "was changed. Let LLAMAKEEP_DATABASE_URL name a database without tables."
    )


def migrate(connection: Connection, target: str = "head") -> None:
    """
    Migrate the tables to `target`.

    Raises:
        DatabaseOutdated: A newer version of llamakeep wrote the database.
        StorageUnavailable: Another application has its tables in it.
    """
    check_is_ours(connection)
    if target == "head" and _can_be_made(connection):
        _make(connection)
        return
    import alembic.command  # noqa: PLC0415 - 100 ms and 8 MB that few starts need
    import alembic.util  # noqa: PLC0415

    if connection.dialect.name == "postgresql":
        _take_turns(connection)
    config = _config()
    config.attributes["connection"] = connection
    try:
        if target == "base":
            alembic.command.downgrade(config, target)
        else:
            alembic.command.upgrade(config, target)
    except alembic.util.CommandError as error:
        raise DatabaseOutdated(
            f"The database is at revision {revision(connection)!r}, which this version "
            f"of llamakeep (revision {HEAD!r}) does not know. Install the version that "
            "wrote it, or a newer one."
        ) from error


def steps_from(before: str) -> Sequence[Step]:
    """Return the migrations that lead from a revision to this version's schema."""
    import alembic.script  # noqa: PLC0415 - as above

    scripts = alembic.script.ScriptDirectory.from_config(_config())
    return [
        Step(
            each.revision,
            each.doc.removesuffix("."),
            getattr(each.module, "SECONDS_OF_A_MILLION_RUNS", {}),
        )
        for each in reversed([*scripts.iterate_revisions(HEAD, before)])
    ]


def _config() -> Any:
    import alembic.config  # noqa: PLC0415 - as above

    config = alembic.config.Config()
    config.set_main_option("script_location", "llamakeep.storage:migrations")
    return config


def _take_turns(connection: Connection) -> None:
    """Let one process migrate at a time, and none keep servers waiting for long."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
    # Whatever comes after a statement that waits for a table waits behind it.
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LONGEST_WAIT}s'")


def _can_be_made(connection: Connection) -> bool:
    """Return whether this is an empty file and a SQLite that can run `tables.sql`."""
    if connection.dialect.name != "sqlite":
        return False
    version = connection.dialect.loaded_dbapi.sqlite_version_info
    return version >= OLDEST_SQLITE and not inspect(connection).get_table_names()


def _make(connection: Connection) -> None:
    """Create the tables as all migrations would."""
    script = files(__package__).joinpath("tables.sql").read_text("utf-8")
    for statement in script.split(";\n\n"):
        connection.exec_driver_sql(statement)


def is_current(connection: Connection) -> bool:
    """Return whether the tables have this version's schema."""
    return revision(connection) == HEAD


def check(connection: Connection) -> None:
    """
    Check that the tables have this version's schema.

    Raises:
        DatabaseOutdated: They have not; its detail says what to do.
    """
    found = revision(connection)
    if found == HEAD:
        return
    fix = "Run `llamakeep migrate` once, with the same settings."
    if found is not None and found > HEAD:
        fix = "Install the version that migrated it, or a newer one."
    raise DatabaseOutdated(
        f"The database is at revision {found!r}, this version of llamakeep needs "
        f"{HEAD!r}. {fix}"
    )


def copied_from(connection: Connection) -> str | None:
    """Return which database was copied to this one in part; `None` if none was."""
    if not inspect(connection).has_table(COPY_MARK.name):
        return None
    return connection.scalar(select(COPY_MARK.c.source))


def check_whole(connection: Connection) -> None:
    """
    Check that the database is not one half of a copy.

    Raises:
        StorageUnavailable: It is; the detail says what to do.
    """
    if (source := copied_from(connection)) is not None:
        raise StorageUnavailable(
            f"Only a part of {source} was copied to this database. Run that `llamakeep "
            "copy` again, which continues it."
        )
