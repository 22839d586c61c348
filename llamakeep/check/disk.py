"""Whether there is room for the database file, and it can be written beside it."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from llamakeep.check.finding import Finding, failed, ok, warning

ABOUT = "disk"
PROBE = 1024 * 1024
"""How many bytes are written and removed again."""
SCARCE = 1024**3
NEARLY_FULL = 100 * 1024**2
MOUNTS = Path("/proc/self/mountinfo")
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs"})
"""File systems of other computers, on which SQLite's locks are unreliable."""

_FIXES = {
    errno.ENOSPC: "Free some space, or move the database to a larger disk.",
    errno.EDQUOT: "Raise the user's disk quota, or free some space.",
    errno.EROFS: "Mount it so that it can be written; in a container or a systemd "
    "unit, name the folder as a volume or in ReadWritePaths=.",
    errno.EFBIG: "Raise the limit of file sizes: `ulimit -f unlimited`, LimitFSIZE=.",
}


def check_disk(database: Path) -> list[Finding]:
    """Return whether a database's folder has room and can be written; it blocks."""
    folder = database.absolute().parent
    if not folder.is_dir():
        return [
            failed(
                ABOUT,
                f"There is no folder {folder}.",
                f"Run `mkdir -p {folder}`, or let LLAMAKEEP_DATABASE_URL name a file "
                "elsewhere.",
            )
        ]
    try:
        _try_to_write(folder)
    except OSError as error:
        user = f"the user that runs llamakeep: `chown USER {folder}`"
        return [
            failed(
                ABOUT,
                f"{folder} cannot be written: {error.strerror or error}.",
                _FIXES.get(error.errno or 0, f"Give the folder to {user}."),
            )
        ]
    found = faults_of_space(folder, shutil.disk_usage(folder).free)
    kind = file_system_of(folder, MOUNTS.read_text()) if MOUNTS.exists() else None
    if kind in REMOTE:
        found.append(
            failed(
                ABOUT,
                f"{folder} is on a file system of another computer ({kind}), where "
                "SQLite can lose or corrupt data.",
                "Put the database on a disk of this computer, or use PostgreSQL.",
            )
        )
    if found:
        return found
    free = shutil.disk_usage(folder).free / 1024**3
    return [ok(ABOUT, f"{folder} can be written, and has {free:.0f} GiB free.")]


def faults_of_space(folder: Path, free: int) -> list[Finding]:
    """Return whether so many free bytes are too few."""
    if free >= SCARCE:
        return []
    make = failed if free < NEARLY_FULL else warning
    said = f"{folder} has {free / 1024**2:.0f} MiB free."
    return [make(ABOUT, said, _FIXES[errno.ENOSPC])]


def file_system_of(folder: Path, mounts: str) -> str | None:
    """Return a folder's file system, as Linux's `mountinfo` has it: `ext4`."""
    found, longest = None, -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = before.split(" ")[4].encode().decode("unicode_escape")
        inside = folder == Path(place) or Path(place) in folder.parents
        if inside and len(place) >= longest:
            found, longest = after.split(" ")[0], len(place)
    return found


def _try_to_write(folder: Path) -> None:
    # A temporary file without a name, on Linux: nothing is left, whatever happens.
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE))
        file.flush()
        os.fsync(file.fileno())
