"""The file of a backup: written beside its place, sealed, and then put there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llamakeep.errors import DatabaseInUse, StorageUnavailable
from llamakeep.storage.backup.seals import has_seal, seal
from llamakeep.storage.database.owner_lock import OwnerLock, lock_file
from llamakeep.storage.database.private_files import with_suffix, without_links

_LOCKED, _PART, DRAFT = "backup", "copy.db", "draft.db"
"""Names of files in the folder in which a backup is written."""


@contextmanager
def new_backup(file: Path) -> Iterator[Path]:
    """
    Yield the path at which to write a backup, which then becomes `file`, all or none.

    If `file` is a symbolic link, the backup is written to where it leads.

    Raises:
        DatabaseInUse: Another backup is being written to `file`.
        StorageUnavailable: `file` is not a backup, or cannot be written.
    """
    file = without_links(file)
    folder = with_suffix(file, ".part")
    try:
        _refuse_other_places(file)
        folder.mkdir(mode=0o700, exist_ok=True)
        _check_has_parts_alone(folder)
        lock = OwnerLock(folder / _LOCKED)
    except DatabaseInUse as error:
        raise DatabaseInUse(
            f"Another backup is being written to {file}. Wait for its end, or name "
            "another file."
        ) from error
    except OSError as error:
        raise StorageUnavailable(
            f"The backup {file} cannot be written: {error.strerror}. Name a file in a "
            "folder that the user of this command may write to."
        ) from error
    part = folder / _PART
    try:
        for left in folder.iterdir():  # by a backup that was killed
            if left != lock_file(folder / _LOCKED):
                left.unlink()
        yield part
        seal(part)
        part.replace(file)
        sync_folder(file)
    except OSError as error:
        raise StorageUnavailable(
            f"The backup {file} cannot be written: {error.strerror}. An earlier one "
            "was not changed."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _check_has_parts_alone(folder: Path) -> None:
    """Check that nothing is lost when the folder of a backup is emptied."""
    names = [] if folder.is_symlink() else [each.name for each in folder.iterdir()]
    # SQLite and locks append to these names.
    if folder.is_symlink() or not all(
        each.startswith((f"{_LOCKED}.lock", _PART, DRAFT)) for each in names
    ):
        raise StorageUnavailable(
            f"{folder} is there, and no backup made it. Nothing was changed. "
            "Rename it, or name another file."
        )


def _refuse_other_places(file: Path) -> None:
    if not file.parent.is_dir():
        raise StorageUnavailable(f"There is no folder {file.parent}. Make it first.")
    if file.exists() and not (file.is_file() and has_seal(file)):
        raise StorageUnavailable(
            f"{file} is there, and is no backup. Nothing was changed. Name another "
            "file."
        )


def sync_folder(file: Path) -> None:
    """Have the name of a file on the disk."""
    if os.name == "nt":
        return
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
