"""
SQLite's writer thread, which commits many callers' operations at once.

While a batch is written to disk, the next one gathers on the event loop. The two
threads meet once a batch, which keeps contention for the interpreter's lock low.
"""

import asyncio
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage.database.commits import Commits
from llamakeep.storage.database.port import Operation

LARGEST_BATCH = 256

CROWD = 4
"""The batch size from which on the next batch is given time to gather."""

GATHERING = 0.002
"""Seconds of that time; a commit takes about as long."""

MOST_TRIES = 4
"""How often a batch is tried that SQLite rolls back by itself."""

CAREFUL = 100
"""The number of batches with savepoints after an operation has failed."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """
    Runs operations in the order of their submission.

    All methods but `join` are called on one event loop, the one that submits first.
    After each transaction, and before its callers continue, `after` is called.
    """

    def __init__(self, engine: Engine, *, after: Callable[[], None]) -> None:
        self.commits = Commits()
        self._engine = engine
        self._after = after
        self._connection = engine.connect()
        self._gathered: list[_Job] = []
        self._is_busy = False
        """Whether the thread has a batch, or one is scheduled."""
        self._is_crowded = False
        self._careful = 0
        self._is_closed = False
        self._batches: queue.SimpleQueue[Sequence[_Job] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        with background_threads():
            self._thread.start()

    def submit(self, operation: Operation[Any]) -> asyncio.Future[Any]:
        """Queue `operation`; the future is done when its commit is."""
        if self._is_closed:
            self.check_open()
        self._loop = asyncio.get_running_loop()
        job = _Job(operation, self._loop.create_future())
        self._gathered.append(job)
        if not self._is_busy:
            self._next_batch()
        return job.future

    def check_open(self) -> None:
        """Raise `StorageUnavailable` once `stop` was called."""
        if self._is_closed:
            raise StorageUnavailable("The database is closed.")

    def stop(self) -> None:
        """Refuse further operations; pending ones are still committed."""
        self._is_closed = True
        while self._gathered:
            self._hand_over()
        self._batches.put(None)

    def join(self) -> None:
        """Wait for the thread, and close the file."""
        self._thread.join()
        self._connection.close()
        self._engine.dispose()

    def _next_batch(self) -> None:
        self._is_busy = True
        # Operations submitted in this iteration of the loop join the batch.
        until = self._loop.time() + (GATHERING if self._is_crowded else 0)
        self._loop.call_soon(self._gather, 0, until)

    def _gather(self, before: int, until: float) -> None:
        """Start a batch when an iteration of the loop adds nothing, or at `until`."""
        now = len(self._gathered)
        if now > before and self._loop.time() < until:
            self._loop.call_soon(self._gather, now, until)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._gathered:
            batch = self._gathered[:LARGEST_BATCH]
            del self._gathered[:LARGEST_BATCH]
            self._batches.put(batch)

    def _settle(self, batch: Sequence[_Job]) -> None:
        self._is_crowded = len(batch) >= CROWD
        self._is_busy = False
        for job in batch:
            if job.future.done():  # the caller was canceled; the commit stands
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if self._gathered:
            self._next_batch()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._commit(batch)
            # The loop may be closed, and then no caller waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle, batch)
            del batch  # what was written may be large, and the next may take long

    def _commit(self, jobs: Sequence[_Job]) -> None:
        """
        Run all jobs in one transaction; a job that fails is left out.

        Most batches need no savepoints. When a job fails, the transaction is rolled
        back and repeated with a savepoint for each job; so are the next batches, as a
        client that caused one failure may cause more.
        """
        for _ in range(MOST_TRIES):
            try:
                jobs = self._run(jobs)
            except Exception as error:  # noqa: BLE001 - handed to the caller that waits
                for job in jobs:
                    job.error = job.error or _translate(error)
                return
            if not jobs:
                return
        for job in jobs:
            job.error = StorageUnavailable.of_write(
                "The database took everything back several times.", retry_after=5
            )

    def _run(self, jobs: Sequence[_Job]) -> Sequence[_Job]:
        """Return the jobs to run again; an exception is every job's."""
        has_savepoints = self._careful > 0
        self._careful -= has_savepoints
        is_committing = False
        began = perf_counter()
        try:
            with self._connection.begin() as transaction:
                again = self._operate(jobs, has_savepoints=has_savepoints)
                if again is not None:
                    transaction.rollback()
                    return again
                is_committing = True
        except OperationalError as error:
            if is_committing and _is_of_unknown_outcome(error):
                raise OutcomeUnknown(
                    f"The disk failed during COMMIT ({reason(error)}): it is not known "
                    "whether this was stored. Look for it, a prompt in your history, "
                    "or send it again, a prompt under the same Idempotency-Key: it is "
                    "stored once then.",
                    reason=f"The disk failed during COMMIT ({reason(error)}).",
                ) from error
            raise
        finally:
            self._say_after()
        self.commits.add(began, operations=len(jobs))
        return ()

    def _operate(
        self, jobs: Sequence[_Job], *, has_savepoints: bool
    ) -> Sequence[_Job] | None:
        """Return the jobs to run again; `None` if the transaction can be committed."""
        driver: Any = self._connection.connection.driver_connection
        for job in jobs:
            if has_savepoints:
                driver.execute("SAVEPOINT one")
            try:
                job.result = job.operation(self._connection)
            except Exception as error:  # noqa: BLE001 - handed to who waits for it
                if not has_savepoints and len(jobs) > 1:
                    self._careful = CAREFUL
                    return jobs
                job.error = _translate(error)
                if not has_savepoints:
                    return ()
                if not driver.in_transaction:  # SQLite rolled back by itself
                    return [each for each in jobs if each.error is None]
                driver.execute("ROLLBACK TO one")
            if has_savepoints:
                driver.execute("RELEASE one")
        return None

    def _say_after(self) -> None:
        try:
            self._after()
        except OSError as error:
            # What is committed stays committed; only the credential cache is off.
            log.warning("changes of accounts cannot be counted: %s", error)


def reason(error: Exception) -> str:
    """Return the database's own message."""
    return str(error.orig if isinstance(error, DBAPIError) else error)


def _is_of_unknown_outcome(error: OperationalError) -> bool:
    """Return whether the transaction may be on disk although fsync failed."""
    return getattr(error.orig, "sqlite_errorname", "") == "SQLITE_IOERR_FSYNC"


def is_full(error: OperationalError) -> bool:
    """Return whether the disk is full or broken."""
    said = reason(error)
    return "is full" in said or "disk I/O error" in said or "readonly" in said


def _translate(error: BaseException) -> BaseException:
    if isinstance(error, OperationalError):
        translated = StorageUnavailable.of_write(
            f"The database cannot keep this: {reason(error)}.", retry_after=5
        )
        translated.is_full = is_full(error)
        translated.__cause__ = error
        return translated
    return error


@contextmanager
def background_threads() -> Iterator[None]:
    """
    Start threads within this block with the batch scheduling policy.

    Where both have one core, Linux would interrupt the loop whenever such a thread has
    something to do; it then waits for the interpreter, and both have lost their caches.
    Measured with 64 clients on one core, that was a fifth of the CPU time.
    """
    is_changed = False
    with suppress(AttributeError, OSError):  # another system, or not allowed
        # Another policy than the default was chosen by the operator.
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            is_changed = True
    try:
        yield  # a thread begins with what its creator has
    finally:
        if is_changed:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
