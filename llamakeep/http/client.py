"""A client for one server."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_json

from llamakeep.http.address import Address, target
from llamakeep.http.connecting import Connector
from llamakeep.http.errors import HttpError
from llamakeep.http.pool import MOST_CONNECTIONS, Exchange, Pool
from llamakeep.http.tracing import TRACEPARENT


class Client:
    """
    Sends requests to one server.

    Args:
        base_url: What every path is appended to.
        connect_timeout: Seconds that it may take to be connected.
        silence_timeout: Seconds for which the server may say nothing.
        most_connections: How many requests may be running; more wait, the first one
            first, as long as connecting may take.
        uses_proxies: Whether a server that is not on this computer is reached through
            the system's proxies.
        headers: What every request has; their names in lower case.
        tls: What a server with HTTPS has to satisfy; by default, the system's
            certificates.

    Raises:
        ValueError: The base URL is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout: float,
        silence_timeout: float,
        most_connections: int = MOST_CONNECTIONS,
        uses_proxies: bool = True,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._headers = dict(headers or {})
        self._address = Address.parse(base_url)
        self._connector = Connector(
            self._address,
            connect_timeout=connect_timeout,
            uses_proxies=uses_proxies,
            tls=tls,
        )
        self._pool = Pool(
            self._connector,
            wait_timeout=connect_timeout,
            silence_timeout=silence_timeout,
            most_connections=most_connections,
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes = b"",
        seconds: float | None = None,
        keep_alive: bool = True,
        is_late: Callable[[], bool] | None = None,
    ) -> Exchange:
        """
        Send a request, once, and lend its response: `async with`.

        Leaving before the end hangs up.

        Args:
            method: In capitals.
            path: What follows the base URL.
            headers: Beside those that every request has; their names in lower case.
            json: The body, as JSON.
            content: The body, as it is.
            seconds: How long it may take in all.
            keep_alive: Whether it may share its connection with earlier and later ones.
            is_late: Called right before sending; if true, nothing is sent.

        Raises:
            HttpError: It cannot be sent, or, on entering, has no response.
        """
        given = self._connector.headers | self._headers | dict(headers or {})
        if (traceparent := TRACEPARENT.get()) is not None:
            given["traceparent"] = traceparent
        if not keep_alive:
            given["connection"] = "close"
        if json is not None:
            content = to_json(json)
            given["content-type"] = "application/json"
        request = self._rendered(method, path, given, content)
        return Exchange(
            self._pool,
            request,
            seconds=seconds,
            keep_alive=keep_alive,
            is_late=is_late,
        )

    async def close(self) -> None:
        """Close idle connections now, and those in use when their requests end."""
        await self._pool.close()

    def _rendered(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> bytes:
        if body or method != "GET":
            headers["content-length"] = str(len(body))
        if query := self._address.query:
            path, _, own = path.partition("?")
            path = f"{path}?{query}&{own}" if own else f"{path}?{query}"
        where = self._connector.prefix + target(self._address.path + path)
        lines = [f"{method} {where} HTTP/1.1"]
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                raise HttpError(f"The header {name} has characters that none can have.")
            lines.append(f"{name}: {value}")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body
