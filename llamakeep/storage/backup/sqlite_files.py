"""
Backups of SQLite files: written beside a server, restored without one.

`VACUUM INTO` reads one snapshot while others write, and copies rows rather than pages:
what was deleted is not in the copy, nor is what SQLite leaves in unused parts of pages.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from llamakeep.domain import Run, RunStatus, utc_now
from llamakeep.errors import RunInterrupted, StorageUnavailable
from llamakeep.storage.backup.examining import Findings, examine
from llamakeep.storage.backup.files import DRAFT, new_backup, sync_folder
from llamakeep.storage.backup.restored import MAY_HAVE_BEEN_ASKED
from llamakeep.storage.backup.seals import check_seal
from llamakeep.storage.database import schema
from llamakeep.storage.database.conditions import IS_UNFINISHED
from llamakeep.storage.database.owner_lock import OwnerLock
from llamakeep.storage.database.private_files import (
    create_private,
    with_suffix,
    without_links,
)
from llamakeep.storage.database.sqlite import SqliteDatabase, files_of
from llamakeep.storage.database.sqlite_engine import create_sqlite_engine
from llamakeep.storage.database.tables import runs
from llamakeep.storage.database.writer import reason
from llamakeep.storage.runs.rows import READ, to_run
from llamakeep.storage.storage import Storage

_HAS_TRACES = text("SELECT EXISTS (SELECT 1 FROM search_traces)")
_UNKEPT = select(*READ).where(IS_UNFINISHED, runs.c.store.is_(False))


def back_up_file(source: Path, file: Path) -> Findings:
    """
    Write the rows of a database file, at one moment, to a backup.

    Raises:
        DatabaseInUse: Another backup is being written to `file`.
        StorageUnavailable: It cannot be written.
    """
    with new_backup(file) as part:
        draft = part.with_name(DRAFT)
        _write_copy(source, draft)
        unkept, has_traces = _not_to_be_kept(draft)
        if unkept or has_traces:
            asyncio.run(_erase(draft, unkept))
            # The pages of the draft may still have what was erased.
            _write_copy(draft, part)
        else:
            draft.replace(part)
        return examine_file(part)


def restore_file(file: Path, path: Path, *, is_replaced: bool) -> Path | None:
    """
    Make a database file of a backup.

    Returns:
        Where the replaced file is, if there was one.

    Raises:
        DatabaseInUse: A server has the database.
        StorageUnavailable: The backup is damaged, or there is a file already.
    """
    size = check_seal(file)
    path = without_links(path)
    if not path.parent.is_dir():
        raise StorageUnavailable(f"There is no folder {path.parent}. Make it first.")
    lock = OwnerLock(path)
    fresh = with_suffix(path, ".restoring")
    try:
        if path.exists() and not is_replaced:
            raise StorageUnavailable(
                f"There is a database at {path}. Nothing was changed. With "
                "`--replace`, it is renamed and kept, and the backup takes its place."
            )
        _remove(fresh)
        _copy(file, fresh, size)
        with _connected(fresh, "rw") as connection:
            connection.exec_driver_sql(MAY_HAVE_BEEN_ASKED)
        old = _put_aside(path)
        fresh.replace(path)
        sync_folder(path)
    except (OSError, DBAPIError) as error:
        raise StorageUnavailable(
            f"{file} cannot be restored to {path}: {reason(error)}. The backup was not "
            "changed."
        ) from error
    finally:
        # The disk may be full: what was written in vain is not to stay on it.
        with suppress(OSError):
            _remove(fresh)
        lock.release()
    return old


def examine_file(path: Path) -> Findings:
    """Examine a database file that no server has, without changing it."""
    try:
        with _connected(path, "ro") as connection:
            return examine(connection)
    except DBAPIError as error:
        return Findings(None, faults=[f"SQLite says: {error.orig}."])


def _write_copy(source: Path, target: Path) -> None:
    create_private(target).close()
    try:
        with _connected(source, "rw") as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(target),))
    except DBAPIError as error:
        raise StorageUnavailable(
            f"{source} cannot be copied to {target.parent}: {reason(error)}. Nothing "
            "was changed."
        ) from error


def _not_to_be_kept(copy: Path) -> tuple[Sequence[Run], bool]:
    """
    Return the unfinished runs whose texts are erased at their end.

    Returns:
        Also whether the search index still has words of deleted runs.
    """
    with _connected(copy, "ro") as connection:
        if not schema.is_current(connection):
            return [], False
        unkept = [to_run(row) for row in connection.execute(_UNKEPT)]
        return unkept, bool(connection.scalar(_HAS_TRACES))


async def _erase(copy: Path, unkept: Sequence[Run]) -> None:
    # Not by a URL: in that of SQLite, there is no way to write a question mark.
    database = await asyncio.to_thread(SqliteDatabase, copy, is_owner=True)
    storage = Storage(database)
    try:
        for run in unkept:
            end = replace(
                run,
                status=RunStatus.INTERRUPTED,
                error_code=RunInterrupted.code,
                finished_at=utc_now(),
            )
            await storage.finish(end)
        await storage.erase_words()
    finally:
        await storage.close()


def _put_aside(path: Path) -> Path | None:
    """
    Keep what there is of a database file under another name, and return that.

    Where the disk has hard links, the file is at `path`, too, until another one takes
    its place: if this is killed, the next server does not begin an empty database.
    """
    log = with_suffix(path, "-wal")
    if not path.exists() and not log.exists():
        return None
    if path.exists():
        with suppress(DBAPIError), _connected(path, "rw") as connection:
            # Then there is no log that could be parted from its file.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    old = with_suffix(path, f".replaced-{utc_now():%Y%m%dT%H%M%S%f}")
    with_suffix(path, "-shm").unlink(missing_ok=True)
    # The log first: SQLite would bring it into the next file of this name.
    with suppress(FileNotFoundError):
        log.replace(with_suffix(old, "-wal"))
    if path.exists():
        try:
            old.hardlink_to(path)
        except OSError:
            path.replace(old)
    return old


def _remove(path: Path) -> None:
    for each in files_of(path):
        each.unlink(missing_ok=True)


def _copy(file: Path, target: Path, size: int) -> None:
    with file.open("rb") as source, create_private(target) as copy:
        shutil.copyfileobj(source, copy)
        copy.truncate(size)
        copy.flush()
        os.fsync(copy.fileno())


@contextmanager
def _connected(path: Path, mode: str) -> Iterator[Connection]:
    engine = create_sqlite_engine(path, mode, NullPool, begin=None)
    with engine.connect() as connection:
        yield connection
