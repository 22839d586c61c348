"""PostgreSQL: every operation is its own transaction."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from llamakeep.errors import StorageUnavailable
from llamakeep.storage.database import Operation, T

POOL_SIZE = 20
TRIES = 4
LONGEST_PAUSE = 5
"""
Seconds after which PostgreSQL ends a transaction in which nothing happens.

A process that is frozen in the middle of one holds locks: nobody could take its runs
over, or ask with the same idempotency key.
"""
_SERVER_TROUBLE = ("08", "25006", "25P03", "28", "3D", "53", "57", "58")
"""
How its codes begin: no connection, read-only, paused for too long, no entry, no such
database, no room left, shut down or starting, and broken:
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""


class PostgresDatabase:
    """
    A database that many processes share.

    Raises:
        StorageUnavailable: The driver is not installed.
    """

    is_sole_owner = False
    accounts_version = None  # others may change them at any time

    def __init__(self, url: URL) -> None:
        try:
            self._engine = create_async_engine(
                url.set(drivername="postgresql+asyncpg"),
                pool_size=POOL_SIZE,
                max_overflow=0,
                pool_pre_ping=False,
                connect_args={
                    "server_settings": {
                        "idle_in_transaction_session_timeout": f"{LONGEST_PAUSE}s"
                    }
                },
                hide_parameters=True,  # errors are logged, and parameters are prompts
            )
        except ModuleNotFoundError as error:
            raise StorageUnavailable(
                "PostgreSQL's driver is not installed: `pip install "
                "'llamakeep[postgres]'`."
            ) from error

    async def watch_accounts(self) -> None:
        """Do nothing: whoever comes in is looked up."""

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation` and commit; again if it collided with another one."""
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._write(operation)
            except DBAPIError as error:
                if not _is_collision(error):
                    raise
                if not tries_left:
                    if isinstance(error, IntegrityError):
                        raise
                    raise StorageUnavailable(
                        "Too many changed the same at the same time. Nothing was "
                        "stored by this request; what was kept before is safe.",
                        retry_after=1,
                    ) from error
                # Those who collided should not do so again.
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - no secret
        raise AssertionError("the last try returns or raises")

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation` on one connection of the pool."""
        with _translated():
            async with self._engine.connect() as connection:
                return await connection.run_sync(operation)

    async def look_up(self, operation: Operation[T]) -> T:
        """Run `operation` as any other one that reads."""
        return await self.read(operation)

    async def checkpoint(self) -> None:
        """Leave it to PostgreSQL."""

    async def erase_traces(self) -> None:
        """Leave it to PostgreSQL's own vacuum, and to the operator's backups."""

    def erase_traces_soon(self) -> None:
        """Leave it to PostgreSQL's own vacuum, and to the operator's backups."""

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()

    async def _write(self, operation: Operation[T]) -> T:
        with _translated():
            async with self._engine.begin() as connection:
                return await connection.run_sync(operation)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, OSError, TimeoutError, PoolTimeout) as error:
        if isinstance(error, DBAPIError) and not _is_about_the_server(error):
            raise
        raise StorageUnavailable(
            "PostgreSQL cannot be reached or cannot keep more. Nothing was stored by "
            "this request; what was kept before is safe.",
            retry_after=5,
        ) from error


def _is_collision(error: DBAPIError) -> bool:
    """Return whether somebody did the same at the same time, or both had to wait."""
    sqlstate = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error, IntegrityError) or sqlstate in {"40001", "40P01"}


def _is_about_the_server(error: DBAPIError) -> bool:
    sqlstate = getattr(error.orig, "sqlstate", None) or ""
    return (
        error.connection_invalidated
        or isinstance(error, OperationalError | InterfaceError)
        or sqlstate.startswith(_SERVER_TROUBLE)
    )
