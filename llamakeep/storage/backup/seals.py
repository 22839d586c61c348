"""
The seal of a backup: its last line, with the hash of all bytes before it.

SQLite and pg_restore ignore what follows their data.
"""

import os
from hashlib import sha256
from pathlib import Path

from llamakeep.errors import StorageUnavailable

_BEGIN = b"\nllamakeep-backup sha256:"
_SIZE = len(_BEGIN) + 2 * sha256().digest_size + 1
_AT_ONCE = 1024 * 1024


def seal(path: Path) -> None:
    """Append the seal to a file, and have all of the file on the disk."""
    digest = _hash(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_BEGIN + digest.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def has_seal(path: Path) -> bool:
    """Return whether a file ends with a seal, right or wrong."""
    return _read_seal(path) is not None


def check_seal(path: Path) -> int:
    """
    Return the size of what a backup has before its seal.

    Raises:
        StorageUnavailable: It is not what was written; the detail says how.
    """
    try:
        found = _read_seal(path)
        size = path.stat().st_size - _SIZE
        digest = _hash(path, size) if found else None
    except OSError as error:
        raise StorageUnavailable(
            f"The backup {path} cannot be read: {error.strerror}."
        ) from error
    if found is None:
        raise StorageUnavailable(
            f"{path} does not end as a backup does: it was cut off, or `llamakeep "
            "backup` has not written it. Take another one."
        )
    if found != digest:
        raise StorageUnavailable(
            f"{path} is damaged: its bytes are not those that were written. Take "
            "another one, and have the disk looked at."
        )
    return size


def _read_seal(path: Path) -> str | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SIZE))
        line = file.read(_SIZE)
    if len(line) < _SIZE or not line.startswith(_BEGIN) or not line.endswith(b"\n"):
        return None
    return line[len(_BEGIN) : -1].decode("ascii", "replace")


def _hash(path: Path, size: int) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while size > 0 and (some := file.read(min(size, _AT_ONCE))):
            digest.update(some)
            size -= len(some)
    return digest.hexdigest()
