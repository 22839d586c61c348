"""
A session that a node holds as long as it lives.

When a process is killed, its system closes the connection, and PostgreSQL releases the
session's lock at once: other nodes need not wait for a lease. Those who look take the
lock as a shared one, until the end of their statement.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg

from llamakeep.errors import StorageUnavailable
from llamakeep.storage.database.port import CHANNEL
from llamakeep.storage.database.postgres.connecting import FAILURES, reason_of

HAS_IDLE_TIMEOUT = (14,)
_LOCK = "SELECT pg_advisory_lock(hashtextextended($1, 0))"


class PostgresSession:
    """
    The session of a node.

    Args:
        connect: Opens a connection that is this process's alone.
        node: The node.
        told: Called for each notification.
        lost: Called when the connection breaks.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        node: str,
        *,
        told: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self.number = 0
        self._connect = connect
        self._node = node
        self._told = told
        self._lost = lost
        self._connection: asyncpg.Connection | None = None

    @property
    def is_held(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None and not self._connection.is_closed()

    async def hold(self) -> None:
        """
        Open the session, if it is not or was lost.

        Raises:
            StorageUnavailable: PostgreSQL cannot be reached, or still has the last one.
        """
        if self.is_held:
            return
        try:
            connection = await self._connect()
            try:
                if connection.get_server_version() >= HAS_IDLE_TIMEOUT:
                    # It waits for notifications, and has nothing to do for hours.
                    await connection.execute("SET idle_session_timeout = 0")
                await connection.add_listener(CHANNEL, lambda *_: self._told())
                await connection.execute(_LOCK, self._node)
            except BaseException:
                connection.terminate()
                raise
        except FAILURES as error:
            raise StorageUnavailable(reason_of(error)) from error
        self._connection = connection
        connection.add_termination_listener(self._terminated)
        self.number += 1

    def _terminated(self, connection: asyncpg.Connection) -> None:
        if connection is self._connection:  # it was not closed here
            self._lost()

    async def close(self) -> None:
        """Close the session for good."""
        if (connection := self._connection) is not None:
            self._connection = None
            with suppress(*FAILURES):
                await connection.close()
