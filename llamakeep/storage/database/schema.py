"""The schema's version, and migrating to it."""

import logging
from importlib.resources import files
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select, text

from llamakeep.errors import DatabaseOutdated, StorageUnavailable

log = logging.getLogger(__name__)

HEAD = "0021"
"""The newest migration; a constant, because importing Alembic takes long."""

OLDEST_SQLITE = (3, 42)
"""Older versions have no `secure-delete` for FTS5, which the migrations check."""

COPY_MARK = Table("copy_under_way", MetaData(), Column("source", Text, nullable=False))
"""In a database to which another one was copied in part; it says which."""


def revision(connection: Connection) -> str | None:
    """Return the database's migration; `None` for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def migrate(connection: Connection, target: str = "head") -> None:
    """
    Migrate the tables to `target`.

    Raises:
        DatabaseOutdated: A newer version of llamakeep wrote the database.
    """
    if target == "head" and _can_be_made(connection):
        _make(connection)
        return
    import alembic.command  # noqa: PLC0415 - 100 ms and 8 MB that few starts need
    import alembic.config  # noqa: PLC0415
    import alembic.util  # noqa: PLC0415

    config = alembic.config.Config()
    config.set_main_option("script_location", "llamakeep.storage:migrations")
    config.attributes["connection"] = connection
    _log_steps(config, connection, target)
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


def _log_steps(config: Any, connection: Connection, target: str) -> None:
    """Log what the migrations will do."""
    import alembic.script  # noqa: PLC0415 - as above

    before = revision(connection)
    if before is None or before >= HEAD or target == "base":
        return
    scripts = alembic.script.ScriptDirectory.from_config(config)
    for step in reversed([*scripts.iterate_revisions(target, before)]):
        log.info("migration %s: %s", step.revision, step.doc)


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
    if not is_current(connection):
        raise DatabaseOutdated(
            f"The database is at revision {revision(connection)!r}, this version of "
            f"llamakeep needs {HEAD!r}. Run `llamakeep migrate` once, with the same "
            "settings."
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
