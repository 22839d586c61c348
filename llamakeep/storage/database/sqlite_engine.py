"""SQLite's driver, and connections to a file that are all set up alike."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url

from llamakeep.storage.accounts.changes import AccountsEpoch
from llamakeep.storage.database.prepared import execute_directly
from llamakeep.storage.history.words import own_words

try:
    import pysqlite3 as sqlite3
except ImportError:  # no wheel for this platform: see docs/adr/0002
    import sqlite3

# Otherwise the driver looks for a way to adapt each NULL, and raises an AttributeError
# within itself: 0.8 µs, 30 times for a run.
sqlite3.register_adapter(type(None), lambda null: null)

READERS_CACHE = 16 * 1024
"""The page cache of each reader, in KiB: ranking reads much of the index."""
BUSY_TIMEOUT = 5000
"""Milliseconds to wait for a lock of another process or thread."""
OLDEST_SQLITE = (3, 51, 3)
"""Older versions may lose commits at a WAL reset: https://sqlite.org/wal.html."""
HAS_OCTET_LENGTH = (3, 43)

_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
)


def sqlite_is_current() -> bool:
    """Return whether this SQLite has the fixes that durability needs."""
    return bool(sqlite3.sqlite_version_info >= OLDEST_SQLITE)


def create_sqlite_engine(
    path: Path,
    mode: str,
    pool: type[Any],
    *,
    begin: str | None = "BEGIN",
    watch: AccountsEpoch | None = None,
    **options: Any,
) -> Engine:
    """Create an engine for a file, whose connections are set up as all here are."""
    url = URL.create(
        "sqlite",
        database=f"file:{quote(path.as_posix(), safe='/:')}",
        query={"uri": "true", "mode": mode, "check_same_thread": "false"},
    )
    engine = create_engine(
        make_url(url),
        module=sqlite3,
        poolclass=pool,
        query_cache_size=200,
        hide_parameters=True,  # errors are logged, and parameters are prompts
        **options,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below
        for count in (2, 3):
            connection.create_function(
                "own_words", count, own_words, deterministic=True
            )
        if sqlite3.sqlite_version_info < HAS_OCTET_LENGTH:
            connection.create_function("octet_length", 1, _octet_length)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if mode == "ro":
            connection.execute(f"PRAGMA cache_size = -{READERS_CACHE}")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
        if watch is not None:
            connection.create_function("accounts_changed", 0, watch.begin)
            watch.watch(connection.execute)

    if begin is not None:
        event.listen(engine, "begin", lambda one: execute_directly(one, begin))
    return engine


def _octet_length(text: str | None) -> int | None:
    return None if text is None else len(text.encode())
