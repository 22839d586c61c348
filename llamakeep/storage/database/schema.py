"""Whether the tables are the ones this version works with, and how they become so."""

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from llamakeep.errors import DatabaseOutdated

HEAD = "0014"
"""The newest migration; named here because asking Alembic costs its import."""

OLDEST_SQLITE = (3, 42)
"""Before it, an index of words cannot be told to erase; the migrations know that."""


def revision(connection: Connection) -> str | None:
    """Return the migration the database is at; `None` for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def migrate(connection: Connection, target: str = "head") -> None:
    """
    Bring the tables to `target`, in the transaction that is open.

    Raises:
        DatabaseOutdated: The database was written by a newer version of llamakeep.
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


def _can_be_made(connection: Connection) -> bool:
    """Return whether this is an empty file of a SQLite that knows all in the script."""
    if connection.dialect.name != "sqlite":
        return False
    version = connection.dialect.loaded_dbapi.sqlite_version_info
    return version >= OLDEST_SQLITE and not inspect(connection).get_table_names()


def _make(connection: Connection) -> None:
    """Make what all migrations would make of it."""
    script = files(__package__).joinpath("tables.sql").read_text("utf-8")
    for statement in script.split(";\n\n"):
        connection.exec_driver_sql(statement)


def is_current(connection: Connection) -> bool:
    """Return whether the tables are this version's."""
    return revision(connection) == HEAD


def check(connection: Connection) -> None:
    """
    Refuse tables that are not this version's.

    Raises:
        DatabaseOutdated: It says what to do.
    """
    if not is_current(connection):
        raise DatabaseOutdated(
            f"The database is at revision {revision(connection)!r}, this version of "
            f"llamakeep needs {HEAD!r}. Run `llamakeep migrate` once, with the same "
            "settings."
        )
