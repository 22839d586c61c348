"""
A pool of connections to PostgreSQL, which are opened as they are needed.

Those that have not been needed for a while are closed: a server has few for all nodes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
from sqlalchemy import Dialect, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from llamakeep.storage.database.postgres.errors import (
    TOO_MANY_CONNECTIONS,
    sqlstate_of,
)
from llamakeep.storage.database.postgres.slots import Slots

CONNECTION_WAIT = 10
"""Seconds to wait for a free connection."""


class Pool:
    """
    Lends connections.

    Args:
        size: The largest number of connections.
        connect: Opens one.
        is_pooled: Whether the server is a pooler, which is known once it was asked.
    """

    def __init__(
        self,
        size: int,
        connect: Callable[..., Awaitable[asyncpg.Connection]],
        *,
        is_pooled: Callable[[], bool],
    ) -> None:
        self._size = size
        self._connect = connect
        self._is_pooled = is_pooled
        self._slots = Slots(size)
        self._closing: set[asyncio.Task[None]] = set()
        self._open()

    def _open(self) -> None:
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            pool_size=self._size,
            max_overflow=0,
            pool_pre_ping=False,
            connect_args={"async_creator_fn": self._connect},
            hide_parameters=True,  # errors are logged, and parameters are prompts
        )
        event.listen(self._engine.sync_engine, "do_connect", self._prepare)
        event.listen(self._engine.sync_engine, "checkout", _check_open)
        self._looking = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def dialect(self) -> Dialect:
        """What statements are compiled for."""
        return self._engine.sync_engine.dialect

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()
        if self._closing:
            await asyncio.wait(self._closing)

    @asynccontextmanager
    async def connected(
        self, *, autocommit: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """Lend a connection, on which a statement begins a transaction or is one."""
        connection = await self._take(autocommit=autocommit)
        try:
            yield connection
        except (OSError, TimeoutError, asyncio.CancelledError):
            # The server may be unreachable: close without sending a ROLLBACK.
            if not connection.invalidated:
                raw = await connection.get_raw_connection()
                if raw.driver_connection is not None:
                    raw.driver_connection.terminate()
                await connection.invalidate()
            raise
        finally:
            try:
                await connection.close()
            finally:
                self._slots.give_back()
                self._close_unused()

    async def _take(self, *, autocommit: bool) -> AsyncConnection:
        async with asyncio.timeout(CONNECTION_WAIT):
            await self._slots.take()
            while True:
                engine = self._looking if autocommit else self._engine
                try:
                    return await engine.connect()
                except BaseException as error:
                    if sqlstate_of(error) != TOO_MANY_CONNECTIONS:
                        self._slots.give_back()
                        raise
                    # Wait for one of the open connections instead.
                    await self._slots.refused()

    def _close_unused(self) -> None:
        """Begin anew, while no connection is lent, if too many are open."""
        unused = self._engine
        is_free = not self._slots.in_use
        if is_free and _open_in(unused) > self._slots.lately_used:
            self._open()
            task = asyncio.create_task(unused.dispose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _prepare(self, _dialect: Any, _record: Any, _args: Any, options: Any) -> None:
        # Behind a pooler, each transaction may get another connection.
        if self._is_pooled():
            options["prepared_statement_cache_size"] = 0


def _open_in(engine: AsyncEngine) -> int:
    return cast("QueuePool", engine.pool).checkedin()


def _check_open(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have another connection opened if the server has closed this one meanwhile."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
