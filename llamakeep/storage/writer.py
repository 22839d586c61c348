"""
The one thread that writes SQLite, many callers' operations with one durable commit.

While a batch is being written to disk, the next one gathers on the event loop; the two
meet once a batch, which is what makes both fast in an interpreter with a global lock.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from llamakeep.errors import StorageUnavailable
from llamakeep.storage.database import Operation
from llamakeep.threads import helpers

LARGEST_BATCH = 256

CROWD = 4
"""From this many operations in a batch on, the next one is given time to gather."""

GATHERING = 0.002
"""Seconds of that time; a commit takes about as long, and serves them all."""


@dataclass(slots=True)
class _Job:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """
    Runs operations in the order in which they were submitted.

    All but `join` is called on one event loop, the one that submits first.

    Args:
        engine: Makes its connection.
        after: Called after each transaction, before anybody hears of it.
    """

    def __init__(self, engine: Engine, *, after: Callable[[], None]) -> None:
        self.commits = 0
        self._engine = engine
        self._after = after
        self._connection = engine.connect()
        self._gathered: list[_Job] = []
        self._is_busy = False
        """Whether the thread has a batch, or is about to be given one."""
        self._is_crowded = False
        self._is_closed = False
        self._batches: queue.SimpleQueue[Sequence[_Job] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        with helpers():
            self._thread.start()

    def submit(self, operation: Operation[Any]) -> asyncio.Future[Any]:
        """Queue `operation`; the future is done when its commit is."""
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
        """Take no more operations; those that were submitted are still done."""
        self._is_closed = True
        while self._gathered:
            self._hand_over()
        self._batches.put(None)

    def join(self) -> None:
        """Wait until all is done, and let go of the file."""
        self._thread.join()
        self._connection.close()
        self._engine.dispose()

    def _next_batch(self) -> None:
        self._is_busy = True
        # Whoever else is about to submit in this turn of the loop is in time.
        until = self._loop.time() + (GATHERING if self._is_crowded else 0)
        self._loop.call_soon(self._gather, 0, until)

    def _gather(self, before: int, until: float) -> None:
        """Hand a batch over once a turn of the loop brings nothing, or it is time."""
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
            if job.future.done():  # the caller gave up; the commit stands
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
            # A loop that was closed has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle, batch)

    def _commit(self, jobs: Sequence[_Job]) -> None:
        """Try all in one transaction; if one fails, halve until it is alone."""
        try:
            self._run(jobs)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            if len(jobs) == 1:
                jobs[0].error = _translate(error)
                return
            middle = len(jobs) // 2
            self._commit(jobs[:middle])
            self._commit(jobs[middle:])

    def _run(self, jobs: Sequence[_Job]) -> None:
        try:
            with self._connection.begin():
                for job in jobs:
                    job.result = job.operation(self._connection)
        finally:
            self._after()
        self.commits += 1


def reason(error: Exception) -> str:
    """Return what the database itself says."""
    return str(error.orig if isinstance(error, DBAPIError) else error)


def _translate(error: BaseException) -> BaseException:
    if isinstance(error, OperationalError):
        translated = StorageUnavailable(
            f"The database cannot keep this: {reason(error)}. Nothing was stored; "
            "what was kept before is safe.",
            retry_after=5,
        )
        translated.__cause__ = error
        return translated
    return error
