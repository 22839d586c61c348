"""When accounts change: until then it may be remembered whom a secret lets in."""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Any

_TABLES = ("users", "access_tokens", "api_keys")
"""What decides whom a secret lets in."""

_COUNTERS = Struct("@QQ")
_PLACE = 1024  # behind the owner's note
SIZE = 4096
"""How many bytes of the lock file are used."""


class AccountChanges:
    """
    Counts changes of accounts, for all processes that have the same SQLite file open.

    One counter goes up before a change can be seen, the other one after it: while they
    differ, a change is on its way. A process that dies in between leaves them so, and
    everybody looks things up until the next change.

    Args:
        lock_file: The file beside the database; it is not truncated while it is in use.
    """

    def __init__(self, lock_file: Path) -> None:
        file = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if os.fstat(file).st_size < SIZE:
                os.ftruncate(file, SIZE)
            self._map = mmap.mmap(file, SIZE)
        finally:
            os.close(file)
        self._mine: int | None = None
        self._is_watching = False

    @property
    def version(self) -> int | None:
        """What changes with accounts; `None` while a change is on its way."""
        if not self._is_watching:
            return None
        begun, ended = _COUNTERS.unpack_from(self._map, _PLACE)
        return begun if begun == ended else None

    def watch(self, execute: Callable[[str], Any]) -> None:
        """
        Have the changes counted that a connection makes.

        Args:
            execute: Runs SQL on it; it knows the function `accounts_changed`.
        """
        there = {name for (name,) in execute("SELECT name FROM main.sqlite_master")}
        self._is_watching = there.issuperset(_TABLES)
        if not self._is_watching:
            return  # nothing was created yet
        for table in _TABLES:
            for verb in ("INSERT", "UPDATE", "DELETE"):
                execute(
                    f"CREATE TEMP TRIGGER IF NOT EXISTS {table}_{verb} "
                    f"AFTER {verb} ON main.{table} BEGIN SELECT accounts_changed(); END"
                )

    def begin(self) -> None:
        """Say that a change is on its way; nobody else writes to the database now."""
        if self._mine is None:
            begun, ended = _COUNTERS.unpack_from(self._map, _PLACE)
            self._mine = begun + 1
            _COUNTERS.pack_into(self._map, _PLACE, self._mine, ended)

    def end(self) -> None:
        """Say that it can be seen, or was taken back."""
        if self._mine is not None:
            begun, ended = _COUNTERS.unpack_from(self._map, _PLACE)
            _COUNTERS.pack_into(self._map, _PLACE, begun, max(ended, self._mine))
            self._mine = None

    def close(self) -> None:
        """Count no more."""
        self._map.close()
