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

_LOCKED_BYTE = 1 << 20
"""Far behind the note, so that others can read the note on Windows too."""


class OwnerLock:
    """
    The right to work on a database's runs; it ends with the process, however it ends.

    Raises:
        DatabaseInUse: Another process has it.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        self._file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock(self._file)
        except OSError as error:
            os.close(self._file)
            raise DatabaseInUse(
                f"{database} belongs to another llamakeep process{_note(path)}. Stop "
                "that one first, or use its API."
            ) from error
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, json.dumps({"pid": os.getpid()}).encode())

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
    with suppress(OSError, ValueError, KeyError):
        return f" (pid {json.loads(path.read_text())['pid']})"
    return ""
