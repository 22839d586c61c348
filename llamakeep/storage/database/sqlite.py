"""
The SQLite database: one owner process, a writer thread, some reader threads.

Operations of many callers share one durable commit: while a batch is written to disk,
the next one gathers.
"""

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import cast

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from llamakeep.errors import DatabaseMissing, StorageUnavailable
from llamakeep.storage.accounts.changes import AccountsEpoch
from llamakeep.storage.database.commits import Commits
from llamakeep.storage.database.owner_lock import OwnerLock, lock_file
from llamakeep.storage.database.port import Operation, T
from llamakeep.storage.database.private_files import (
    keep_private,
    with_suffix,
    without_links,
)
from llamakeep.storage.database.schema import check_is_ours
from llamakeep.storage.database.sqlite_engine import BUSY_TIMEOUT, create_sqlite_engine
from llamakeep.storage.database.trouble import Trouble
from llamakeep.storage.database.writer import Writer, reason

SIDE_FILES = ("-wal", "-shm", ".lock")
READERS = 4
ERASED_AFTER = 5.0
"""Seconds from a deletion until the write-ahead log is emptied."""
LONGEST_STOP = 300
"""Milliseconds for which emptying the log may hold up writes, waiting for readers."""
SMALL = 32 * 1024 * 1024
"""The largest file that is vacuumed, in bytes, which blocks writes for some 0.2 s."""
log = logging.getLogger(__name__)


class SqliteDatabase:
    """
    A database file.

    The owner creates it if missing, readable by its user only. A guest may change users
    beside the owner but must not touch unfinished runs.

    Raises:
        DatabaseInUse: Another process owns the file.
        DatabaseMissing: A guest found no file.
        StorageUnavailable: The file cannot be opened.
    """

    def __init__(self, path: Path, *, is_owner: bool = True) -> None:
        self.is_sole_owner = is_owner
        self.trouble = Trouble()
        self._path = path = without_links(path)
        self._lock: OwnerLock | None = None
        self._erasing: asyncio.Task[None] | None = None
        self._is_checkpoint_failing = False
        create = os.O_CREAT if is_owner else 0
        self._has_copies = False
        """Whether there may be copies of what was erased since the file was written."""
        self.has_older_log = False
        """Whether an owner crashed, whose log has what was erased since."""
        try:
            _check_is_file(path)
            if is_owner:
                _check_has_folder(path)
                self._lock = OwnerLock(path)
                self.has_older_log = with_suffix(path, "-wal").exists()
            if path.exists():
                _check_is_ours(path)
            # SQLite gives its side files the mode of the database file.
            os.close(os.open(path, create | os.O_RDWR, 0o600))
            self._changes = changes = AccountsEpoch(lock_file(path))
            self._writer = Writer(
                create_sqlite_engine(
                    path, "rwc", NullPool, begin="BEGIN IMMEDIATE", watch=changes
                ),
                after=changes.end,
            )
        except StorageUnavailable:
            self._unlock()
            raise
        except (OSError, DBAPIError) as error:
            self._unlock()
            if isinstance(error, FileNotFoundError) and not is_owner:
                raise DatabaseMissing(
                    f"There is no database file {path}: nothing has been kept yet, or "
                    "the settings name another file."
                ) from error
            raise StorageUnavailable(
                f"The database file {path} cannot be opened: {reason(error)}."
            ) from error
        for file in files_of(path):
            keep_private(file)
        self._reading = create_sqlite_engine(path, "ro", QueuePool, pool_size=READERS)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._looking = create_sqlite_engine(path, "ro", NullPool, begin=None)
        self._here = self._looking.connect()
        self._tidying = create_sqlite_engine(
            path, "rw", QueuePool, pool_size=1, begin=None
        )

    @property
    def accounts_version(self) -> int | None:
        """A number that changes when any process changes accounts."""
        return self._changes.version

    def name_server(self, origin: str) -> None:
        """Write the URL that the owner serves to the lock file."""
        if self._lock is not None:
            self._lock.name_server(origin)

    async def watch_accounts(self) -> None:
        """Begin to count changes of accounts."""
        await self.write(lambda one: self._changes.watch(one.exec_driver_sql))

    async def open_session(self, node: str, **_: object) -> None:
        """Do nothing: no other process works on this file's runs."""

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation` on the writer thread, in a commit shared with others."""
        waiting = self._writer.submit(operation)
        try:
            result = await waiting
        except StorageUnavailable as error:
            self.trouble.failed("write", error, error.detail)
            raise
        trouble = self.trouble
        if trouble.is_announced:
            trouble.worked("write")
        else:  # the common case: twice for each prompt
            trouble.wrote_at = trouble.now()
        return cast("T", result)

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation` on a reader thread."""
        self._writer.check_open()
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._readers, self._read, operation)
        except StorageUnavailable as error:
            self.trouble.failed("read", error, error.detail)
            raise
        self.trouble.worked("read")
        return result

    async def look_up(self, operation: Operation[T]) -> T:
        """
        Run `operation` on the event loop, each of its statements on the newest state.

        Readers never wait for the writer, and such a statement takes 10 to 20 µs; a
        reader thread would cost five times that.
        """
        self._writer.check_open()
        try:
            return operation(self._here)
        except OperationalError as error:
            unreadable = _unreadable(error)
            self.trouble.failed("read", unreadable, unreadable.detail)
            raise unreadable from error

    async def checkpoint(self) -> None:
        """
        Copy the write-ahead log into the file, beside readers and the writer.

        Otherwise the commit that makes the log too long does, and blocks other writes.
        """
        await asyncio.to_thread(self._checkpoint, "PASSIVE")

    async def erase_traces(self) -> None:
        """
        Copy the write-ahead log into the file and empty it; deleted text is zeros.

        While a reader needs the log, it is tried again later; the owner's exit does the
        same. A small file is vacuumed before: where SQLite moved rows to
        another page, copies stay in unused parts of the old one.
        """
        await asyncio.to_thread(self._write_anew)
        await self._erase_wal()

    def erase_traces_soon(self) -> None:
        """
        Empty the log after `ERASED_AFTER`, once for all deletions until then.

        Copies in unused parts of pages are left to `erase_copies`.
        """
        self._has_copies = True
        if self._erasing is None or self._erasing.done():
            self._erasing = asyncio.create_task(self._erase_later())

    async def erase_copies(self) -> None:
        """Do all of `erase_traces` if that was put off."""
        if self._has_copies:
            self._has_copies = False
            await self.erase_traces()

    async def _erase_later(self) -> None:
        await asyncio.sleep(ERASED_AFTER)
        self._erasing = None  # later deletions need another task
        await self._erase_wal()

    async def _erase_wal(self) -> None:
        if not await asyncio.to_thread(self._empty_wal):
            self.erase_traces_soon()

    async def close(self) -> None:
        """Commit pending operations, and close the file."""
        self._writer.stop()
        erasing, self._erasing = self._erasing, None
        if erasing is not None:
            erasing.cancel()
            # When a guest closes the file, the log stays.
            await asyncio.to_thread(self._empty_wal)
        await asyncio.to_thread(self._close)

    @property
    def commits(self) -> Commits:
        """The committed write transactions."""
        return self._writer.commits

    def _read(self, operation: Operation[T]) -> T:
        try:
            with self._reading.connect() as connection:
                return operation(connection)
        except OperationalError as error:
            raise _unreadable(error) from error

    def _write_anew(self) -> None:
        if self._path.stat().st_size <= SMALL:
            with suppress(OperationalError), self._tidying.connect() as connection:
                connection.exec_driver_sql("VACUUM")

    def _empty_wal(self) -> bool:
        """Return whether the log is empty; readers or writes may prevent it."""
        # The passive one blocks nothing, and leaves little to the second. Where it
        # cannot copy everything, a reader still needs the log, such as a backup.
        return self._checkpoint("PASSIVE") and self._checkpoint("TRUNCATE")

    def _checkpoint(self, mode: str) -> bool:
        """Return whether the whole log was copied."""
        try:
            with self._tidying.connect() as connection:
                # While it waits for readers, it holds up writes.
                wait = BUSY_TIMEOUT if mode == "PASSIVE" else LONGEST_STOP
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait}")
                [row] = connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})")
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        except DBAPIError as error:
            if not self._is_checkpoint_failing:
                log.warning(
                    "the write-ahead log cannot be brought into the file, and has what "
                    "was deleted until then; it is tried again: %s",
                    reason(error),
                )
            self._is_checkpoint_failing = True
            return False
        if self._is_checkpoint_failing:
            log.warning("the write-ahead log can be brought into the file again")
        self._is_checkpoint_failing = False
        is_blocked, frames, copied = row
        return not is_blocked and frames == copied

    def _close(self) -> None:
        self._readers.shutdown()
        self._reading.dispose()
        self._here.close()
        self._looking.dispose()
        self._tidying.dispose()
        # The writer closes last: the last connection copies the log, which readers
        # cannot.
        self._writer.join()
        self._changes.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()


def files_of(path: Path) -> list[Path]:
    """Return the names of a database's files, whether they are there or not."""
    return [with_suffix(path, each) for each in ("", *SIDE_FILES)]


def _unreadable(error: OperationalError) -> StorageUnavailable:
    return StorageUnavailable.of_read(
        f"The database cannot be read: {reason(error)}.", retry_after=5
    )


def _check_is_file(path: Path) -> None:
    """Check that a path is a file, before other files are created beside it."""
    if path.exists() and not path.is_file():
        raise StorageUnavailable(
            f"{path} is not a file. Let LLAMAKEEP_DATABASE_URL name a file, which need "
            "not exist yet."
        )


def _check_is_ours(path: Path) -> None:
    """Check that a file has no other application's tables, before its mode changes."""
    engine = create_sqlite_engine(path, "ro", NullPool, begin=None)
    with engine.connect() as connection:
        check_is_ours(connection)


def _check_has_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise StorageUnavailable(
            f"The database file {path} cannot be made: there is no folder "
            f"{path.parent}. Make it, or let LLAMAKEEP_DATABASE_URL name another file."
        )
