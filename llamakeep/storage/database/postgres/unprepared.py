"""
Batches behind a pooler, which may give each transaction another connection.

Nothing that is prepared or set is there later on, so each batch that writes begins with
its settings, which hold until its end.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class Unprepared:
    """
    A connection to a pooler.

    Args:
        connection: It prepares only unnamed statements.
        settings: What each transaction begins with; without any, a batch is one
            transaction by itself, as it ends with the only Sync.
    """

    connection: asyncpg.Connection
    settings: Mapping[str, str]

    def is_closed(self) -> bool:
        """Return whether it can no longer be used."""
        return bool(self.connection.is_closed())

    def terminate(self) -> None:
        """Close it at once."""
        self.connection.terminate()

    async def prepare(self, sql: str, *, timeout: float | None = None) -> "_Statement":  # noqa: ASYNC109, ARG002 - asyncpg's signature
        """Return what executes a statement."""
        return _Statement(self, sql)

    async def in_transaction(
        self, execute: Callable[[], Awaitable[Sequence[Any]]]
    ) -> Sequence[Any]:
        """Execute a statement in a transaction with the settings."""
        if not self.settings:
            return await execute()
        changes = [f"SET LOCAL {name} = '{to}'" for name, to in self.settings.items()]
        await self.connection.execute("; ".join(["BEGIN", *changes]))
        try:
            rows = await execute()
        except asyncpg.PostgresError:
            await self.connection.execute("ROLLBACK")
            raise
        await self.connection.execute("COMMIT")
        return rows


@dataclass(frozen=True, slots=True)
class _Statement:
    on: Unprepared
    sql: str

    async def fetch(self, *values: Any) -> Sequence[Any]:
        fetch = self.on.connection.fetch
        return await self.on.in_transaction(lambda: fetch(self.sql, *values))

    async def fetchmany(self, values: Sequence[Sequence[Any]]) -> Sequence[Any]:
        fetch = self.on.connection.fetchmany
        return await self.on.in_transaction(lambda: fetch(self.sql, values))
