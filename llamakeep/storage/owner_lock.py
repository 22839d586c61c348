"""One owner process per database file, enforced by the operating system."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from llamakeep.errors import DatabaseInUse

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_NOTE = 256
"""How many bytes the note about the owner has."""
_LOCKED_BYTE = 1 << 20
"""Far behind the note, so that others can read the note on Windows too."""


def lock_file(database: Path) -> Path:
    """Return the file beside a database that says whose it is, and what changed."""
    return database.with_name(database.name + ".lock")


class OwnerLock:
    """
    The right to work on a database's runs; it ends with the process, however it ends.

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
            raise DatabaseInUse(
                f"{database} belongs to another llamakeep process{_note(path)}. Stop "
                "that one first, or use its API."
            ) from error
        # It keeps its size: what is behind the note, others may have in their memory.
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, json.dumps({"pid": os.getpid()}).encode().ljust(_NOTE))

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._file)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _note(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError), path.open("rb") as file:
        return f" (pid {json.loads(file.read(_NOTE))['pid']})"
    return ""
