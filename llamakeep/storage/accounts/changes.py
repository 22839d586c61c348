"""When accounts change: until then it may be remembered whom a secret lets in."""

import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Any

_TABLES = {
    "users": "id, username, created_at, disabled_at, role, limits, deleted_at",
    "access_tokens": "digest, user_id, expires_at",
    "api_keys": "id, user_id, digest, name, hint, scopes, models, created_at, "
    "expires_at, limits",
}
"""What decides whom a secret lets in; a key's last use is noted all the time."""

_BEGUN, _ENDED = 1024, 1032  # behind the owner's note
_COUNTER, _COUNTERS = Struct("@Q"), Struct("@QQ")


class AccountsEpoch:
    """
    Counts changes of accounts, for all processes that have the same SQLite file open.

    One counter goes up before a change can be seen, the other one after it: while they
    differ, a change is on its way. Each is written alone, the first by whoever may
    write to the database, so that no process undoes what another one says. A process
    that dies in between leaves them apart, and everybody looks things up until the next
    change; so does everybody when the file is gone or is another one.

    Args:
        lock_file: The file beside the database that has the counters.
    """

    def __init__(self, lock_file: Path) -> None:
        self._file = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o600)
        self._mine: int | None = None
        self._is_watching = False

    @property
    def version(self) -> int | None:
        """What changes with accounts; `None` while a change is on its way."""
        if not self._is_watching or not os.fstat(self._file).st_nlink:
            return None
        counters = os.pread(self._file, _COUNTERS.size, _BEGUN)
        if len(counters) < _COUNTERS.size:
            return None
        begun, ended = _COUNTERS.unpack(counters)
        return begun if begun == ended else None

    def watch(self, execute: Callable[[str], Any]) -> None:
        """
        Have the changes counted that a connection makes.

        Args:
            execute: Runs SQL on it; it knows the function `accounts_changed`.
        """
        there = {name for (name,) in execute("SELECT name FROM main.sqlite_master")}
        self._is_watching = there.issuperset(_TABLES) and hasattr(os, "pread")
        if not self._is_watching:
            return  # nothing was created yet, or this is Windows
        for table, columns in _TABLES.items():
            for verb in ("INSERT", f"UPDATE OF {columns}", "DELETE"):
                execute(
                    f"CREATE TEMP TRIGGER IF NOT EXISTS {table}_{verb.split()[0]} "
                    f"AFTER {verb} ON main.{table} BEGIN SELECT accounts_changed(); END"
                )

    def begin(self) -> None:
        """
        Say that a change is on its way; nobody else writes to the database now.

        Raises:
            OSError: It cannot be said, so it must not be done.
        """
        if self._mine is None:
            known = os.pread(self._file, _COUNTER.size, _BEGUN)
            # Where somebody emptied the file, any number that was not there before.
            fresh = known if len(known) == _COUNTER.size else os.urandom(6) + b"\0\0"
            self._mine = _COUNTER.unpack(fresh)[0] + 1
            os.pwrite(self._file, _COUNTER.pack(self._mine), _BEGUN)

    def end(self) -> None:
        """Say that it can be seen, or was taken back."""
        if self._mine is not None:
            os.pwrite(self._file, _COUNTER.pack(self._mine), _ENDED)
            self._mine = None

    def close(self) -> None:
        """Count no more."""
        self._is_watching = False
        os.close(self._file)
