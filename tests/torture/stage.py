"""Where scenarios take place: databases and servers that can be broken."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
)
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from tests.acceptance.processes import Runner
from tests.postgres import PostgresServer, hand_over, new_database
from tests.torture.disks import SmallDisk
from tests.torture.site import Site, open_site, prepare

T = TypeVar("T")
NewDatabase = Callable[[Path], AbstractAsyncContextManager[str]]
"""Makes an empty database; that folder is its own."""


class Stage:
    """
    What all sites on one kind of database have in common.

    Args:
        new_database: Makes an empty one.
        nodes: How many servers share one.
        runner: Starts them.
        emulator: Where Replicate is.
        folder: For files and logs.
        chance: What decides when and where.
    """

    def __init__(
        self,
        new_database: NewDatabase,
        *,
        nodes: int,
        runner: Runner,
        emulator: str,
        folder: Path,
        chance: random.Random,
    ) -> None:
        self.new_database = new_database
        self.nodes = nodes
        self.runner = runner
        self.folder = folder
        self.chance = chance
        self._emulator = emulator
        # Alembic migrates one database of a process at a time.
        self._migrating = asyncio.Lock()

    @asynccontextmanager
    async def site(
        self,
        name: str,
        *,
        database: NewDatabase | None = None,
        emulator: str | None = None,
        **how: Any,
    ) -> AsyncIterator[Site]:
        """Open a site; `how` is as with `open_site`."""
        folder = self.folder / name.replace(" ", "-")
        await asyncio.to_thread(folder.mkdir, parents=True)
        async with (
            (database or self.new_database)(folder) as url,
            open_site(
                self.runner,
                folder,
                emulator or self._emulator,
                url,
                **{"chance": self.chance, "nodes": self.nodes, **how},
            ) as site,
        ):
            yield site

    def on(self, server: PostgresServer) -> NewDatabase:
        """Make a database on a server that may be broken."""

        @asynccontextmanager
        async def new(_folder: Path) -> AsyncIterator[str]:
            async with new_database(server.url) as url:
                async with self._migrating:
                    await prepare(url)
                yield url

        return new


@asynccontextmanager
async def in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave what would block the event loop."""
    entered = await asyncio.to_thread(manager.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def sqlite_on(disk: SmallDisk) -> NewDatabase:
    """Keep the database's file on that disk, and logs elsewhere."""

    @asynccontextmanager
    async def new(_folder: Path) -> AsyncIterator[str]:
        yield f"sqlite:///{disk.folder / 'torture.db'}"

    return new


def postgres_on(disk: SmallDisk, server_url: str, template: str) -> NewDatabase:
    """
    Keep the database's tables on that disk; the server's log of writes is elsewhere.

    Args:
        disk: Where the tables are.
        server_url: The server, which is on this machine.
        template: The database to copy.
    """

    @asynccontextmanager
    async def new(_folder: Path) -> AsyncIterator[str]:
        tables = disk.folder / "tables"
        await asyncio.to_thread(tables.mkdir)
        await asyncio.to_thread(hand_over, tables)
        space = f"small_{secrets.token_hex(8)}"
        await _execute(server_url, f"CREATE TABLESPACE {space} LOCATION '{tables}'")
        try:
            async with new_database(server_url, template, tablespace=space) as url:
                yield url
        finally:
            await _execute(server_url, f"DROP TABLESPACE {space}")

    return new


def empty_on(server_url: str) -> NewDatabase:
    """Make databases without tables."""

    @asynccontextmanager
    async def new(_folder: Path) -> AsyncIterator[str]:
        async with new_database(server_url) as url:
            yield url

    return new


def existing(url: str) -> NewDatabase:
    """Use a database that is there."""

    @asynccontextmanager
    async def new(_folder: Path) -> AsyncIterator[str]:
        yield url

    return new


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
