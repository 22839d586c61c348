"""The invalidation epoch of the credential cache, shared by all processes."""

import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Any

_TABLES = {
    "users": "id, username, created_at, disabled_at, role, limits, deleted_at, keeps, "
    "models",
    "access_tokens": "digest, user_id, expires_at",
    "api_keys": "id, user_id, digest, name, hint, scopes, models, created_at, "
    "expires_at, limits, keeps",
}
"""Columns whose changes invalidate the cache; a key's last use does not."""

_BEGUN, _ENDED = 1024, 1032  # offsets in the lock file, behind the owner's note
_COUNTER, _COUNTERS = Struct("@Q"), Struct("@QQ")


class AccountsEpoch:
    """
    Counts changes of accounts in the lock file beside a SQLite database.

    One counter is written before a change can be seen, the other one after it: while
    they differ, a change is in progress. Only the holder of the database's write lock
    writes them, so that no process overwrites another one's. If a process dies in
    between, the counters differ, and no process uses its cache until the next change;
    the same when the file is deleted or replaced.
    """

    def __init__(self, lock_file: Path) -> None:
        self._file = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o600)
        self._mine: int | None = None
        self._is_watching = False

    @property
    def version(self) -> int | None:
        """Changes with accounts; `None` while a change is in progress."""
        if not self._is_watching or not os.fstat(self._file).st_nlink:
            return None
        counters = os.pread(self._file, _COUNTERS.size, _BEGUN)
        if len(counters) < _COUNTERS.size:
            return None
        begun, ended = _COUNTERS.unpack(counters)
        return begun if begun == ended else None

    def watch(self, execute: Callable[[str], Any]) -> None:
        """
        Install triggers that count the changes made through a connection.

        The connection has the SQL function `accounts_changed`.
        """
        there = {name for (name,) in execute("SELECT name FROM main.sqlite_master")}
        self._is_watching = there.issuperset(_TABLES) and hasattr(os, "pread")
        if not self._is_watching:
            return  # the tables are not created yet, or this is Windows
        for table, columns in _TABLES.items():
            for verb in ("INSERT", f"UPDATE OF {columns}", "DELETE"):
                execute(
                    f"CREATE TEMP TRIGGER IF NOT EXISTS {table}_{verb.split()[0]} "
                    f"AFTER {verb} ON main.{table} BEGIN SELECT accounts_changed(); END"
                )

    def begin(self) -> None:
        """
        Write that a change is in progress, while holding the database's write lock.

        Raises:
            OSError: It cannot be written, so the change must not be made.
        """
        if self._mine is None:
            known = os.pread(self._file, _COUNTER.size, _BEGUN)
            # If the file was truncated, a random number that was not there before.
            fresh = known if len(known) == _COUNTER.size else os.urandom(6) + b"\0\0"
            self._mine = _COUNTER.unpack(fresh)[0] + 1
            os.pwrite(self._file, _COUNTER.pack(self._mine), _BEGUN)

    def end(self) -> None:
        """Write that the change was committed or rolled back."""
        if self._mine is not None:
            os.pwrite(self._file, _COUNTER.pack(self._mine), _ENDED)
            self._mine = None

    def close(self) -> None:
        """Close the lock file."""
        self._is_watching = False
        os.close(self._file)
