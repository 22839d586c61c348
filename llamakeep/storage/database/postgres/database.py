"""
The PostgreSQL database: a pool of connections, and pipelines for frequent statements.

On a connection of the pool, each operation has a transaction of its own. What takes one
statement is sent together with those of other callers, and falls back to that.
"""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import Any, cast

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage.database.commits import Commits
from llamakeep.storage.database.port import Operation, T
from llamakeep.storage.database.postgres.connecting import (
    LONGEST_PAUSE,
    Connector,
    Server,
)
from llamakeep.storage.database.postgres.errors import (
    DISK_FULL,
    ERRORS,
    is_about_the_server,
    is_collision,
    is_rolled_back,
    message_of,
    outcome_unknown,
    sqlstate_of,
)
from llamakeep.storage.database.postgres.pipelines import (
    CONNECTIONS,
    Pipelines,
    RolledBackError,
    Rows,
)
from llamakeep.storage.database.postgres.pool import Pool
from llamakeep.storage.database.postgres.session import PostgresSession
from llamakeep.storage.database.postgres.unprepared import Unprepared
from llamakeep.storage.database.postgres.url import PostgresUrl
from llamakeep.storage.database.prepared import Change, Fetch
from llamakeep.storage.database.trouble import Kind, Trouble

__all__ = ["LONGEST_PAUSE", "PostgresDatabase"]

POOL_SIZE = 20 - CONNECTIONS
SPARE = 2
"""
Seconds beyond a statement's timeout, until an operation has ended or is committing.

They include the wait for a connection, which is long with a server that is frozen.
"""
LONGEST_COMMIT = 1
"""Seconds from then on for the COMMIT, until its outcome is unknown."""
TRIES = 4
BATCH_SHARE = 0.5
"""
Of a statement's timeout, for a batch.

What PostgreSQL refuses in this time can still be tried alone, and what is of unknown
outcome be looked for.
"""
PATIENT_SHARE = 0.8
"""Of a batch's timeout, for PostgreSQL: a refusal is better than an unknown outcome."""
HAS_TRANSACTION_TIMEOUT = (17,)
LONGEST_BATCH = 10
"""Seconds until PostgreSQL ends a batch that has begun and not ended."""
_PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
"""
For statements that change rows by their keys: planned once, and through indexes.

What was planned while tables were nearly empty is used as they grow.
"""
log = logging.getLogger(__name__)

_LIMITS = text(
    "SELECT set_config('idle_in_transaction_session_timeout', :pause, true), "
    "set_config('statement_timeout', :limit, true)"
)


class PostgresDatabase:
    """
    A PostgreSQL database; if it `is_hurried`, statements have a timeout.

    Behind a pooler, sessions are opened at the URL `direct`.
    """

    is_sole_owner = False
    accounts_version = None  # other processes may change accounts at any time

    def __init__(
        self,
        url: PostgresUrl,
        *,
        is_hurried: bool = True,
        direct: PostgresUrl | None = None,
    ) -> None:
        self.trouble = Trouble()
        self.commits = Commits()
        self._connector = Connector(url, is_hurried=is_hurried)
        self._direct = None if direct is None else Connector(direct)
        self._server: Server | None = None
        self._pool = Pool(POOL_SIZE, self._connect, is_pooled=self._is_pooled)
        limit = self._connector.statement_timeout
        self._batch_timeout = None if limit is None else limit * BATCH_SHARE
        self._pipelines = Pipelines(
            self._connect_pipeline,
            self._pool.dialect,
            self.commits,
            timeout=self._batch_timeout,
        )

    async def watch_accounts(self) -> None:
        """Do nothing: credentials are not cached on PostgreSQL."""

    async def open_session(
        self, node: str, *, told: Callable[[], None], lost: Callable[[], None]
    ) -> PostgresSession | None:
        """
        Return a session for a node, which is not held yet.

        Behind a pooler, which gives a transaction any connection, there is one only if
        the server has a direct URL.
        """
        connector = self._direct or self._connector
        if (await connector.find_out()).is_pooled:
            if self._direct is not None:
                log.warning(
                    "LLAMAKEEP_DATABASE_DIRECT_URL leads to a pooler; dead servers are "
                    "found by their lease only"
                )
            return None
        connect = partial(connector.connect, is_pooled=False)
        return PostgresSession(connect, node, told=told, lost=lost)

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation` and commit; retry if it collided with another transaction."""
        if isinstance(operation, Change):
            rows = await self._pipelined("write", operation)
            if rows:
                return cast("T", operation.result)
            if rows is not None:
                self.commits.fell_back("changed-nothing")
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._write(operation)
            except DBAPIError as error:
                if not is_collision(error):
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
        return await self._read(operation)

    async def look_up(self, operation: Operation[T]) -> T:
        """Run `operation`, each of its statements on the newest state."""
        if isinstance(operation, Fetch):
            rows = await self._pipelined("read", operation)
            if rows is not None:
                return cast("T", rows)
        return await self._read(operation, autocommit=True)

    async def checkpoint(self) -> None:
        """Do nothing: PostgreSQL checkpoints by itself."""

    async def erase_traces(self) -> None:
        """Do nothing: PostgreSQL's vacuum does it; backups are the operator's."""

    def erase_traces_soon(self) -> None:
        """Do nothing: PostgreSQL's vacuum does it."""

    async def close(self) -> None:
        """Finish what is queued, and close all connections."""
        await self._pipelines.close()
        await self._pool.close()

    async def _read(self, operation: Operation[T], *, autocommit: bool = False) -> T:
        async with (
            self._translated("read"),
            self._bounded(),
            self._connected(autocommit=autocommit) as connection,
        ):
            return await connection.run_sync(operation)

    async def _pipelined(self, kind: Kind, operation: Change | Fetch) -> Rows | None:
        """Return the statement's rows; `None` if it has to be done in another way."""
        if self._server is None:
            return None
        statement, values = operation.statement, operation.values
        try:
            async with self._translated(kind):
                return await self._pipelines.run(statement, values, kind)
        except RolledBackError:
            return None

    async def _write(self, operation: Operation[T]) -> T:
        async with (
            self._translated("write"),
            self._bounded() as bound,
            self._connected() as connection,
        ):
            if self._is_pooled():
                await connection.execute(_LIMITS, self._limits)
            began = perf_counter()
            result = await connection.run_sync(operation)
            until = bound.when()
            bound.reschedule(None)  # a COMMIT's own timeout leaves its outcome unknown
            await _commit(connection, until and until + LONGEST_COMMIT)
            self.commits.add(began)
            return result

    def _bounded(self) -> asyncio.Timeout:
        limit = self._connector.statement_timeout
        return asyncio.timeout(None if limit is None else limit + SPARE)

    @property
    def _limits(self) -> dict[str, str]:
        session = self._connector.session
        return {
            "pause": session["idle_in_transaction_session_timeout"],
            "limit": session["statement_timeout"],
        }

    @asynccontextmanager
    async def _connected(
        self, *, autocommit: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        if self._server is None:
            self._server = await self._connector.find_out()
        async with self._pool.connected(autocommit=autocommit) as connection:
            yield connection

    def _is_pooled(self) -> bool:
        return self._server is not None and self._server.is_pooled

    async def _connect(self, **_: Any) -> asyncpg.Connection:
        return await self._connector.connect(is_pooled=self._is_pooled())

    async def _connect_pipeline(self, kind: Kind) -> asyncpg.Connection | Unprepared:
        connection = await self._connect()
        settings = self._settings_of(kind, connection.get_server_version())
        try:
            # As SQLAlchemy has it on its own connections.
            await connection.set_type_codec(
                "json", schema="pg_catalog", encoder=str, decoder=json.loads
            )
            if self._is_pooled():
                return Unprepared(connection, settings if kind == "write" else {})
            async with asyncio.timeout(self._batch_timeout):
                for name, value in settings.items():
                    await connection.execute(f"SET {name} = '{value}'")
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _settings_of(self, kind: Kind, version: tuple[int, ...]) -> dict[str, str]:
        """Return the settings of a connection for batches."""
        settings = self._connector.session | (_PLANS if kind == "write" else {})
        if self._batch_timeout is not None:
            limit = int(1000 * PATIENT_SHARE * self._batch_timeout)
            settings["statement_timeout"] = f"{limit}ms"
        if version >= HAS_TRANSACTION_TIMEOUT:
            # A process that is frozen while it sends a batch holds locks, and is not
            # idle by PostgreSQL's account.
            settings["transaction_timeout"] = f"{LONGEST_BATCH}s"
        return settings

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
        except ERRORS as error:
            if isinstance(error, DBAPIError) and not is_about_the_server(error):
                raise
            make = (
                StorageUnavailable.of_read
                if kind == "read"
                else StorageUnavailable.of_write
            )
            translated = make(
                "PostgreSQL cannot be reached or cannot keep more.", retry_after=5
            )
            translated.is_full = sqlstate_of(error) == DISK_FULL
            self.trouble.failed(kind, translated, message_of(error))
            raise translated from error
        else:
            self.trouble.worked(kind)


async def _commit(connection: AsyncConnection, until: float | None) -> None:
    """Commit before a time of the loop, and tell failure from an unknown outcome."""
    if not connection.in_transaction():
        return
    raw = await connection.get_raw_connection()
    if raw.driver_connection is None or raw.driver_connection.is_closed():
        raise ConnectionResetError("The connection was lost before the COMMIT.")
    try:
        async with asyncio.timeout_at(until):
            await connection.commit()
    except (DBAPIError, OSError, TimeoutError) as error:
        if is_rolled_back(error):
            raise
        if raw.driver_connection is not None:
            raw.driver_connection.terminate()
        raise outcome_unknown(error) from error
