"""
Connections to PostgreSQL, with timeouts for servers that stop responding.

A frozen server still acknowledges what it receives, and a lost host acknowledges
nothing: statements have a timeout, and sockets have one of their own.
"""

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from llamakeep.errors import StorageUnavailable
from llamakeep.storage.database.postgres.url import PostgresUrl

CONNECT_TIMEOUT = 5
"""Seconds to connect to one host."""
STATEMENT_TIMEOUT = 10
"""Seconds for a statement."""
GOODBYE = 0.5
"""Seconds for a server to close a connection."""
LONGEST_PAUSE = 5
"""
Seconds after which PostgreSQL ends a transaction in which nothing happens.

A process that is frozen in a transaction holds locks: no other process could take its
runs over, or accept a request with the same idempotency key.
"""
ENCODINGS = frozenset({"UTF8", "UTF-8", "UNICODE"})

_ANYWHERE: Sequence[tuple[str | None, int | None]] = [(None, None)]
"""One attempt with the host of a service file, the environment or a socket."""
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
_OF_ONE_HOST = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)
"""Errors after which the next host is tried."""


SERVER_TIMEOUTS = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # Keepalives are not sent while something waits to be acknowledged.
    "tcp_user_timeout": "11000",
}
"""
Session settings after which the server notices within seconds that a client's host is
gone, and rolls back what it had begun. By default, it holds its locks for two hours.
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Facts about the server."""

    is_pooled: bool
    """Whether a pooler may give each transaction another connection."""


class Connector:
    """Opens connections to hosts; if `is_hurried`, statements have a timeout."""

    def __init__(self, url: PostgresUrl, *, is_hurried: bool = True) -> None:
        self._url = url
        numbers = url.numbers
        self._connect_timeout = numbers.get("connect_timeout") or CONNECT_TIMEOUT
        limit = numbers.get("statement_timeout") or STATEMENT_TIMEOUT
        self.statement_timeout = limit if is_hurried else None
        self._tls = ssl.create_default_context() if url.trusts_system else None

    @property
    def session(self) -> dict[str, str]:
        """Session settings for connections without a pooler."""
        limit = self.statement_timeout
        return {
            "idle_in_transaction_session_timeout": f"{LONGEST_PAUSE}s",
            "statement_timeout": "0" if limit is None else f"{limit}s",
        }

    async def connect(self, *, is_pooled: bool) -> asyncpg.Connection:
        """
        Connect to the first host that accepts writes.

        A pooler supports neither session settings nor prepared statements.
        """
        failure: Exception | None = None
        for host, port in self._url.hosts or _ANYWHERE:
            try:
                return await self._connect(host, port, is_pooled=is_pooled)
            except _OF_ONE_HOST as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def find_out(self) -> Server:
        """
        Connect once and find out about the server.

        Raises:
            StorageUnavailable: It cannot be used; the detail has the server's message.
        """
        try:
            # Without session settings, which a pooler refuses.
            connection = await self.connect(is_pooled=True)
        except (*FAILURES, ValueError) as error:
            raise StorageUnavailable(
                f"{self._url.where} cannot be used: {reason_of(error)}"
            ) from error
        try:
            self._check_encoding(connection.get_settings().server_encoding)
            is_pooled = self._url.is_pooled
            if is_pooled is None:
                # A pooler makes up the process id that it sends when a connection
                # begins.
                async with connection.transaction():
                    pid = await connection.fetchval("SELECT pg_backend_pid()")
                is_pooled = pid != connection.get_server_pid()
            with suppress(*FAILURES):
                await connection.close(timeout=1)
        except FAILURES as error:
            raise StorageUnavailable(
                f"{self._url.where} cannot be used: {reason_of(error)}"
            ) from error
        finally:
            connection.terminate()
        return Server(is_pooled)

    def _check_encoding(self, encoding: str) -> None:
        if encoding.upper() not in ENCODINGS:
            raise StorageUnavailable(
                f"{self._url.where} has the encoding {encoding}, which cannot keep all "
                "text. Nothing was changed. Create a database with UTF8, such as with "
                "CREATE DATABASE llamakeep ENCODING 'UTF8' TEMPLATE template0, and "
                "name that one; what is in this one goes there with pg_dump."
            )

    async def _connect(
        self, host: str | None, port: int | None, *, is_pooled: bool
    ) -> asyncpg.Connection:
        settings = dict(self._url.server_settings)
        if not is_pooled:
            settings = SERVER_TIMEOUTS | settings | self.session
        return await asyncpg.connect(
            self._url.dsn,
            host=host,
            port=port,
            timeout=self._connect_timeout,
            command_timeout=self.statement_timeout,
            statement_cache_size=0 if is_pooled else 100,
            server_settings=settings,
            ssl=self._tls,
            connection_class=self._class,
        )

    @property
    def _class(self) -> type[asyncpg.Connection]:
        numbers = self._url.numbers

        class Connection(asyncpg.Connection):  # type: ignore[misc] # it has no types
            """A connection whose socket has keepalives and a timeout."""

            def __init__(self, protocol: Any, transport: Any, *others: Any) -> None:
                super().__init__(protocol, transport, *others)
                keep_alive(transport.get_extra_info("socket"), numbers)

            async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
                """Close with a short timeout."""
                await super().close(timeout=min(timeout or GOODBYE, GOODBYE))

        return Connection


def keep_alive(connection: socket.socket | None, said: Any) -> None:
    """Set keepalives and a timeout on a socket, for peers that disappeared."""
    if connection is None or connection.family not in {
        socket.AF_INET,
        socket.AF_INET6,
    }:
        return
    wanted = {
        "TCP_KEEPIDLE": said.get("keepalives_idle") or 5,
        "TCP_KEEPINTVL": said.get("keepalives_interval") or 2,
        "TCP_KEEPCNT": said.get("keepalives_count") or 3,
        "TCP_USER_TIMEOUT": said.get("tcp_user_timeout") or STATEMENT_TIMEOUT * 1000,
    }
    # Options that this system does not have are left out.
    with suppress(OSError):
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_KEEPALIVE, said.get("keepalives", 1)
        )
    for name, value in wanted.items():
        if hasattr(socket, name):
            with suppress(OSError):
                connection.setsockopt(
                    socket.IPPROTO_TCP, getattr(socket, name), int(value)
                )


def reason_of(error: BaseException) -> str:
    """Return an error's message: the server's, or the operating system's."""
    said = str(error)
    match error:
        case ssl.SSLCertVerificationError():
            said = f"its certificate is not trusted: {error.verify_message}"
        case TimeoutError() if not error.args:
            said = "it does not answer"
        case ConnectionRefusedError():
            said = "connection refused"
        case asyncpg.PostgresError():
            said = error.message or said
        case OSError() if error.strerror:
            said = error.strerror
    return _sentence(said or type(error).__name__)


def _sentence(said: str) -> str:
    first = said.strip().splitlines()[0] if said.strip() else "no reason is given"
    return first if first.endswith(".") else f"{first}."
