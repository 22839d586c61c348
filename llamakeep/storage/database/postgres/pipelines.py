"""
Single statements of many callers, sent to PostgreSQL as one batch.

While a batch of a statement is on its way, the next one gathers. A batch is one round
trip and, since only its end has a Sync message, one transaction with one commit:
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, cast

import asyncpg
from sqlalchemy import Dialect, Integer, Select, bindparam
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import Insert, Update

from llamakeep.storage.database.commits import EXPECTED, Commits
from llamakeep.storage.database.postgres.connecting import FAILURES
from llamakeep.storage.database.postgres.errors import (
    TOO_MANY_CONNECTIONS,
    is_rolled_back,
    outcome_unknown,
    sqlstate_of,
)
from llamakeep.storage.database.prepared import (
    Compiled,
    CompiledTogether,
    Prepared,
    Together,
    compiled,
)
from llamakeep.storage.database.trouble import Kind

LANES = 2
"""So many batches that read, and that write, are on their way at the same time."""
CONNECTIONS = 2 * LANES

LARGEST_BATCH = 256

LARGEST_SIZE = 4 * 1024 * 1024
"""Characters of texts from which on a batch takes no further caller."""

CROWD = 4
"""The batch size from which on the next batch is given time to gather."""

GATHERING = 0.002
"""Seconds of that time; a commit takes about as long."""

UNUSED = 60.0
"""Seconds after which a connection is closed that no batch was sent on."""

AFTER_REFUSAL = 5.0
"""Seconds without further connections after the server refused one."""

RUN_ID = "run_id"
"""
The parameter by whose order a batch changes rows.

A statement that changes many runs does it in the order of their ids, so that it and a
batch do not wait for each other.
"""

Rows = Sequence[Sequence[Any]]

_PLACE = "place"


class RolledBackError(Exception):
    """Nothing was changed, and that may be another caller's fault: try it alone."""


@dataclass(slots=True)
class _Job:
    arguments: list[Any]
    future: asyncio.Future[Rows]


@dataclass(slots=True)
class _Queue:
    """The callers of one statement."""

    compiled: Compiled | CompiledTogether
    kind: Kind
    place_at: int
    """Where a parameter is with the caller's place in the batch."""
    order_at: int | None
    jobs: deque[_Job] = field(default_factory=deque)
    is_busy: bool = False
    is_crowded: bool = False

    def take(self) -> list[_Job]:
        """
        Take the next batch, without callers who were canceled meanwhile.

        What changes the same run once more waits for the next one.
        """
        batch: list[_Job] = []
        later: list[_Job] = []
        keys: set[str] = set()
        is_together = isinstance(self.compiled, CompiledTogether)
        size = 0
        while self.jobs and len(batch) < LARGEST_BATCH and size < LARGEST_SIZE:
            job = self.jobs.popleft()
            if job.future.done():
                continue
            if is_together:
                if job.arguments[0] in keys:
                    later.append(job)
                    continue
                keys.add(job.arguments[0])
            batch.append(job)
            size += sum([len(one) for one in job.arguments if type(one) is str])
        self.jobs.extendleft(reversed(later))
        return batch


@dataclass(slots=True)
class _Lane:
    connection: asyncpg.Connection
    prepared: dict[str, Any] = field(default_factory=dict)
    used_at: float = 0.0
    """When its last batch ended, by the loop's clock."""


class Pipelines:
    """
    Sends statements of one event loop.

    Args:
        connect: Opens a connection for batches that read or write.
        dialect: The one that statements are compiled for.
        commits: Counts the batches.
        timeout: Seconds for a batch; `None` is for ever.
    """

    def __init__(
        self,
        connect: Callable[[Kind], Awaitable[asyncpg.Connection]],
        dialect: Dialect,
        commits: Commits,
        *,
        timeout: float | None = None,
    ) -> None:
        self._connect = connect
        self._dialect = dialect
        self._commits = commits
        self._timeout = timeout
        self._queues: dict[Prepared | Together, _Queue] = {}
        self._free: dict[Kind, asyncio.Semaphore] = {
            "read": asyncio.Semaphore(LANES),
            "write": asyncio.Semaphore(LANES),
        }
        self._lanes: dict[Kind, list[_Lane]] = {"read": [], "write": []}
        """Open connections that are not in use."""
        self._closing: asyncio.TimerHandle | None = None
        self._refused_at = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()

    def run(
        self, statement: Prepared | Together, values: Mapping[str, Any], kind: Kind
    ) -> asyncio.Future[Rows]:
        """
        Queue a statement.

        The future has the rows of a statement that reads, and an empty row for each one
        that a statement changed.

        Raises:
            OutcomeUnknown: It is not known whether the batch was committed.
            RolledBackError: Nothing was changed.
            Exception: The server cannot be used; nothing was changed.
        """
        queue = self._queues.get(statement)
        if queue is None:
            queue = _queue(statement, self._dialect, kind)
            self._queues[statement] = queue
        arguments = queue.compiled.bind({**values, _PLACE: 0})
        job = _Job(arguments, asyncio.get_running_loop().create_future())
        queue.jobs.append(job)
        if not queue.is_busy:
            queue.is_busy = True
            task = asyncio.create_task(self._work(queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return job.future

    async def close(self) -> None:
        """Finish what is queued, and close the connections."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._closing is not None:
            self._closing.cancel()
        for lanes in self._lanes.values():
            while lanes:
                lanes.pop().connection.terminate()

    async def _work(self, queue: _Queue) -> None:
        try:
            while queue.jobs:
                # Callers of the same iteration of the loop join the batch.
                await asyncio.sleep(GATHERING if queue.is_crowded else 0)
                async with self._free[queue.kind]:
                    batch = queue.take()
                    if not batch:
                        continue
                    queue.is_crowded = len(batch) >= CROWD
                    try:
                        await self._send(queue, batch)
                    except Exception as error:  # noqa: BLE001 - handed to the callers
                        _fail(batch, error)
        finally:
            queue.is_busy = False

    async def _send(self, queue: _Queue, batch: list[_Job]) -> None:
        try:
            lane = await self._lane(queue)
        except FAILURES as error:
            _fail(batch, error)
            self._fail_waiting(error)
            return
        except RolledBackError as error:
            self._fall_back(batch, error.__cause__)
            return
        began = perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                done = await _execute(lane.prepared[queue.compiled.sql], queue, batch)
        except Exception as error:  # noqa: BLE001 - handed to the callers that wait
            self._failed(queue, batch, lane, error)
            return
        self._give_back(queue.kind, lane)
        self._commits.sent(queue.kind, len(batch))
        if queue.kind == "write":
            self._commits.add(began, operations=len(batch))
        for job, own in zip(batch, done, strict=True):
            if not job.future.done():  # the caller was canceled; the commit stands
                job.future.set_result(own)

    def _failed(
        self, queue: _Queue, batch: Sequence[_Job], lane: _Lane, error: Exception
    ) -> None:
        if sqlstate_of(error).startswith(EXPECTED):
            self._give_back(queue.kind, lane)
        else:
            # After a migration, what was prepared may have to be prepared anew.
            lane.connection.terminate()
        if is_rolled_back(error):
            self._fall_back(batch, error)
            return
        if queue.kind == "write":
            for job in batch:
                _fail([job], outcome_unknown(error))
        _fail(batch, error)
        if isinstance(error, TimeoutError):
            self._fail_waiting(error)

    def _fall_back(self, batch: Sequence[_Job], refusal: BaseException | None) -> None:
        """Have each caller try it alone: nothing was changed."""
        if refusal is None or sqlstate_of(refusal) == TOO_MANY_CONNECTIONS:
            self._commits.fell_back("no-connection", len(batch))
        else:
            # The driver's own messages have values in them, such as prompts.
            message = getattr(refusal, "message", None) or type(refusal).__name__
            self._commits.refused(sqlstate_of(refusal), message, len(batch))
        _fail(batch, RolledBackError())

    def _fail_waiting(self, error: Exception) -> None:
        """Fail all that waits, which would wait for one timeout after the other."""
        for queue in self._queues.values():
            _fail(queue.jobs, error)
            queue.jobs.clear()

    def _give_back(self, kind: Kind, lane: _Lane) -> None:
        loop = asyncio.get_running_loop()
        lane.used_at = loop.time()
        self._lanes[kind].append(lane)
        if self._closing is None:
            self._closing = loop.call_later(UNUSED, self._close_unused)

    def _close_unused(self) -> None:
        loop = asyncio.get_running_loop()
        self._closing = None
        for lanes in self._lanes.values():
            while lanes and loop.time() - lanes[0].used_at >= UNUSED:
                lanes.pop(0).connection.terminate()
        if any(self._lanes.values()):
            self._closing = loop.call_later(UNUSED, self._close_unused)

    async def _lane(self, queue: _Queue) -> _Lane:
        """
        Return a connection that has prepared a queue's statement.

        Raises:
            RolledBackError: The server has no connection left, or refuses the
                statement, as its cause says.
        """
        lane = await self._connected(queue.kind)
        sql = queue.compiled.sql
        if sql not in lane.prepared:
            try:
                lane.prepared[sql] = await lane.connection.prepare(
                    sql, timeout=self._timeout
                )
            except BaseException as error:
                lane.connection.terminate()
                if is_rolled_back(error):
                    raise RolledBackError from error
                raise
        return lane

    async def _connected(self, kind: Kind) -> _Lane:
        while self._lanes[kind]:
            lane = self._lanes[kind].pop()
            if not lane.connection.is_closed():
                return lane
        now = asyncio.get_running_loop().time()
        if now - self._refused_at < AFTER_REFUSAL:
            raise RolledBackError
        try:
            return _Lane(await self._connect(kind))
        except asyncpg.PostgresError as error:
            if sqlstate_of(error) != TOO_MANY_CONNECTIONS:
                raise
            self._refused_at = now
            raise RolledBackError from error


def _queue(statement: Prepared | Together, dialect: Dialect, kind: Kind) -> _Queue:
    if isinstance(statement, Together):
        return _Queue(statement.compile(dialect), kind, place_at=0, order_at=0)
    executable = statement.on_postgresql
    place = bindparam(_PLACE, type_=Integer()).label(_PLACE)
    placed: Executable
    match executable:
        case Select():
            placed = executable.add_columns(place)
        case Insert() | Update():
            placed = executable.returning(place)
        case _:
            raise TypeError(f"{executable} cannot be sent with others.")
    found = compiled(placed, statement.parameters, dialect)
    places = {name: place for place, name in enumerate(found.names)}
    return _Queue(found, kind, place_at=places[_PLACE], order_at=places.get(RUN_ID))


async def _execute(prepared: Any, queue: _Queue, batch: list[_Job]) -> Sequence[Rows]:
    """Execute a statement, and return the rows of each caller."""
    if (order_at := queue.order_at) is not None:
        batch.sort(key=lambda job: cast("str", job.arguments[order_at]))
    given = [job.arguments for job in batch]
    if isinstance(queue.compiled, CompiledTogether):
        rows = await prepared.fetch(*queue.compiled.join(given))
        keys = {key for key, *_ in rows}
        return [[()] if arguments[0] in keys else [] for arguments in given]
    for place, arguments in enumerate(given):
        arguments[queue.place_at] = place
    found: list[list[Sequence[Any]]] = [[] for _ in batch]
    for *row, place in await prepared.fetchmany(given):
        found[place].append(queue.compiled.read(row))
    return found


def _fail(batch: Iterable[_Job], error: Exception) -> None:
    for job in batch:
        if not job.future.done():
            job.future.set_exception(error)
