"""The owner's lock on a SQLite database file, held through the operating system."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from llamakeep.errors import DatabaseInUse

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_NOTE = 256
"""Size of the note about the owner, in bytes."""
_LOCKED_BYTE = 1 << 20
"""Far behind the note: Windows makes locked bytes unreadable."""


def lock_file(database: Path) -> Path:
    """Return the lock file beside a database, which also has the accounts' epoch."""
    return database.with_name(database.name + ".lock")


class OwnerLock:
    """
    The right to work on a database's runs; it ends with the process.

    Raises:
        DatabaseInUse: Another process has it.
    """

    def __init__(self, database: Path) -> None:
        path = lock_file(database)
        self._file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock(self._file)
        except OSError as error:
            os.close(self._file)
            note = _read_note(path)
            in_use = DatabaseInUse(
                f"{database} belongs to another llamakeep process{_shown(note)}. Stop "
                "that one first, or use its API."
            )
            in_use.server = note.get("server")
            raise in_use from error
        self._write_note({"pid": os.getpid()})

    def name_server(self, origin: str) -> None:
        """Write the URL that the owner serves to the note."""
        self._write_note({"pid": os.getpid(), "server": origin})

    def release(self) -> None:
        """Release the lock."""
        os.close(self._file)

    def _write_note(self, note: dict[str, Any]) -> None:
        # The note keeps its size: the bytes behind it are the accounts' epoch.
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, json.dumps(note).encode().ljust(_NOTE)[:_NOTE])


def _lock(file: int) -> None:
    if sys.platform == "win32":
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_note(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError), path.open("rb") as file:
        note = json.loads(file.read(_NOTE))
        if isinstance(note, dict):
            return note
    return {}


def _shown(note: Mapping[str, Any]) -> str:
    pid = f" (pid {note['pid']})" if "pid" in note else ""
    return f"{pid}, at {note['server']}" if "server" in note else pid
