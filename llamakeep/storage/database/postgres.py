"""The PostgreSQL database: a pool of connections, one transaction an operation."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage.database.commits import Commits
from llamakeep.storage.database.port import Operation, T
from llamakeep.storage.database.postgres_connecting import (
    LONGEST_PAUSE,
    Connector,
    Server,
    reason_of,
)
from llamakeep.storage.database.postgres_slots import Slots
from llamakeep.storage.database.postgres_url import PostgresUrl
from llamakeep.storage.database.trouble import Kind, Trouble

__all__ = ["LONGEST_PAUSE", "PostgresDatabase"]

POOL_SIZE = 20
CONNECTION_WAIT = 10
"""Seconds to wait for a free connection of the pool."""
TRIES = 4
_SERVER_TROUBLE = ("08", "25006", "25P03", "28", "3D", "53", "57", "58")
"""
SQLSTATE prefixes of a server that cannot be used: connection, read-only, idle timeout,
authentication, database missing, no room, shutdown, system error:
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""
_TOO_MANY_CONNECTIONS = "53300"
_DISK_FULL = "53100"
_COMMIT_UNKNOWN = ("08", "57P")
"""SQLSTATE prefixes of errors that leave a COMMIT's outcome unknown."""
_LIMITS = text(
    "SELECT set_config('idle_in_transaction_session_timeout', :pause, true), "
    "set_config('statement_timeout', :limit, true)"
)


class PostgresDatabase:
    """A PostgreSQL database; if it `is_hurried`, statements have a timeout."""

    is_sole_owner = False
    accounts_version = None  # other processes may change accounts at any time

    def __init__(self, url: PostgresUrl, *, is_hurried: bool = True) -> None:
        self.trouble = Trouble()
        self.commits = Commits()
        self._connector = Connector(url, is_hurried=is_hurried)
        self._server: Server | None = None
        self._slots = Slots(POOL_SIZE)
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_pre_ping=False,
            connect_args={"async_creator_fn": self._connect},
            hide_parameters=True,  # errors are logged, and parameters are prompts
        )
        event.listen(self._engine.sync_engine, "do_connect", self._prepare)

    async def watch_accounts(self) -> None:
        """Do nothing: credentials are not cached on PostgreSQL."""

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation` and commit; retry if it collided with another transaction."""
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._write(operation)
            except DBAPIError as error:
                if not _is_collision(error):
                    raise
                if not tries_left:
                    if isinstance(error, IntegrityError):
                        raise
                    raise StorageUnavailable.of_write(
                        "Too many changed the same at the same time.", retry_after=1
                    ) from error
                # A random pause, so that the same transactions do not collide again.
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation` on a connection of the pool."""
        async with self._translated("read"), self._connected() as connection:
            return await connection.run_sync(operation)

    async def look_up(self, operation: Operation[T]) -> T:
        """Run `operation` as `read` does."""
        return await self.read(operation)

    async def checkpoint(self) -> None:
        """Do nothing: PostgreSQL checkpoints by itself."""

    async def erase_traces(self) -> None:
        """Do nothing: PostgreSQL's vacuum does it; backups are the operator's."""

    def erase_traces_soon(self) -> None:
        """Do nothing: PostgreSQL's vacuum does it."""

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def _write(self, operation: Operation[T]) -> T:
        async with self._translated("write"), self._connected() as connection:
            if self._server is not None and self._server.is_pooled:
                await connection.execute(_LIMITS, self._limits)
            began = perf_counter()
            result = await connection.run_sync(operation)
            await _commit(connection)
            self.commits.add(began)
            return result

    @property
    def _limits(self) -> dict[str, str]:
        session = self._connector.session
        return {
            "pause": session["idle_in_transaction_session_timeout"],
            "limit": session["statement_timeout"],
        }

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        if self._server is None:
            self._server = await self._connector.find_out()
        connection = await self._take()
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

    async def _take(self) -> AsyncConnection:
        async with asyncio.timeout(CONNECTION_WAIT):
            await self._slots.take()
            while True:
                try:
                    return await self._engine.connect()
                except BaseException as error:
                    if _sqlstate(error) != _TOO_MANY_CONNECTIONS:
                        self._slots.give_back()
                        raise
                    # Wait for one of the open connections instead.
                    await self._slots.refused()

    async def _connect(self, **_: Any) -> asyncpg.Connection:
        assert self._server is not None
        return await self._connector.connect(is_pooled=self._server.is_pooled)

    def _prepare(self, _dialect: Any, _record: Any, _args: Any, options: Any) -> None:
        # Behind a pooler, each transaction may get another connection.
        if self._server is not None and self._server.is_pooled:
            options["prepared_statement_cache_size"] = 0

    @asynccontextmanager
    async def _translated(self, kind: Kind) -> AsyncIterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except StorageUnavailable as error:
            if isinstance(error, OutcomeUnknown):
                self.trouble.failed(kind, error, "it broke off during COMMIT.")
            raise
        except (
            DBAPIError,
            OSError,
            TimeoutError,
            PoolTimeout,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
        ) as error:
            if isinstance(error, DBAPIError) and not _is_about_the_server(error):
                raise
            make = (
                StorageUnavailable.of_read
                if kind == "read"
                else StorageUnavailable.of_write
            )
            translated = make(
                "PostgreSQL cannot be reached or cannot keep more.", retry_after=5
            )
            translated.is_full = _sqlstate(error) == _DISK_FULL
            self.trouble.failed(kind, translated, _reason(error))
            raise translated from error
        else:
            self.trouble.worked(kind)


async def _commit(connection: AsyncConnection) -> None:
    """Commit, and tell a failed COMMIT from one of unknown outcome."""
    if not connection.in_transaction():
        return
    raw = await connection.get_raw_connection()
    if raw.driver_connection is None or raw.driver_connection.is_closed():
        raise ConnectionResetError("The connection was lost before the COMMIT.")
    try:
        await connection.commit()
    except (DBAPIError, OSError, TimeoutError) as error:
        sqlstate = _sqlstate(error)
        if sqlstate and not sqlstate.startswith(_COMMIT_UNKNOWN):
            raise  # the server refused the COMMIT and rolled back
        if raw.driver_connection is not None:
            raw.driver_connection.terminate()
        raise OutcomeUnknown(
            "The connection to PostgreSQL broke off during COMMIT: it is not known "
            "whether this was stored. Look for it, a prompt in your history, or send "
            "it again, a prompt under the same Idempotency-Key, which stores it once.",
            reason="PostgreSQL broke off during COMMIT.",
        ) from error


def _sqlstate(error: BaseException) -> str:
    orig = error.orig if isinstance(error, DBAPIError) else error
    return getattr(orig, "sqlstate", None) or ""


def _reason(error: Exception) -> str:
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
    return f"PostgreSQL: {reason_of(cause)}"


def _is_collision(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or _sqlstate(error) in {"40001", "40P01"}


def _is_about_the_server(error: DBAPIError) -> bool:
    return (
        error.connection_invalidated
        or isinstance(error, OperationalError | InterfaceError)
        or _sqlstate(error).startswith(_SERVER_TROUBLE)
    )
