"""Opening connections: DNS, Happy Eyeballs, proxies and TLS."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar, cast

import aiohappyeyeballs

from llamakeep.http.address import Address
from llamakeep.http.connection import Connection
from llamakeep.http.errors import ConnectError
from llamakeep.http.names import IpAddress, look_up
from llamakeep.http.tls import tls_context

_NEXT_ADDRESS_AFTER = 0.25
"""Seconds, as RFC 8305 recommends."""

_LONGEST_PROXY_HEAD = 16 * 1024

New = Callable[[], Connection]
P = TypeVar("P", bound=asyncio.Protocol)


class Connector:
    """
    Opens connections to one server.

    Args:
        address: The server's.
        connect_timeout: Seconds to connect.
        uses_proxies: Whether servers elsewhere are reached through the system's.
        tls: What the server has to satisfy, instead of the system's certificates.
    """

    def __init__(
        self,
        address: Address,
        *,
        connect_timeout: float,
        uses_proxies: bool,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._tls = tls
        self._uses_proxies = uses_proxies
        self._connect_timeout = connect_timeout

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        headers = {
            "host": self._address.authority,
            "user-agent": "llamakeep",
            "accept": "*/*",
        }
        if self._address.authorization is not None:
            headers["authorization"] = self._address.authorization
        if self.prefix and self._proxy is not None and self._proxy.authorization:
            headers["proxy-authorization"] = self._proxy.authorization
        return headers

    @cached_property
    def prefix(self) -> str:
        """The prefix of targets: a proxy without a tunnel needs the whole URL."""
        if self._proxy is None or self._address.scheme == "https":
            return ""
        return f"http://{self._address.authority}"

    async def connect(self, new: New, seconds: float | None) -> Connection:
        """
        Return a connection that `new` made.

        Args:
            new: Makes one.
            seconds: How long it may take, if that is less than the connect timeout.

        Raises:
            ConnectError: The server, or the proxy, cannot be reached, or trusted.
        """
        limit = self._connect_timeout
        if seconds is not None:
            limit = min(limit, seconds)
        try:
            async with asyncio.timeout(limit):
                return await self._connect(new)
        except TimeoutError as error:
            raise ConnectError("It takes too long.") from error
        except (OSError, UnicodeError) as error:  # so is what TLS finds
            reason = str(error) or "The connection was refused or broken off."
            raise ConnectError(reason) from error

    async def _connect(self, new: New) -> Connection:
        address, proxy = self._address, self._proxy
        if proxy is not None and address.scheme == "https":
            return await self._tunnel(new, proxy)
        tls = self._tls if proxy is None else None
        _, connection = await _connected(new, proxy or address, tls)
        return connection

    async def _tunnel(self, new: New, proxy: Address) -> Connection:
        """Connect through a proxy's tunnel (CONNECT, RFC 9110, 9.3.6)."""
        # Before the tunnel is open, since its end would go unnoticed meanwhile.
        context = self._tls or await tls_context()
        transport, door = await _connected(
            lambda: _Door(self._address.host_and_port, proxy.authorization), proxy
        )
        try:
            await door.is_open
            connection = new()
            inner = await asyncio.get_running_loop().start_tls(
                _open_still(transport),
                connection,
                context,
                server_hostname=self._address.host,
            )
            connection.connection_made(_open_still(inner))
        except BaseException:
            transport.abort()
            raise
        return connection

    @cached_property
    def _proxy(self) -> Address | None:
        """The system's proxy for the server, if there is one to use."""
        if self._address.is_loopback or not self._uses_proxies:
            return None
        # It takes a while to import, and most servers know their provider's address.
        from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

        proxies = getproxies()
        url = proxies.get(self._address.scheme) or proxies.get("all")
        if not url or proxy_bypass(self._address.host_and_port):
            return None
        try:
            return Address.parse(url if "://" in url else f"http://{url}")
        except ValueError as error:
            raise ConnectError("The system names a proxy that is none.") from error


class _Door(asyncio.Protocol):
    """Requests a tunnel from a proxy."""

    def __init__(self, where: str, authorization: str | None) -> None:
        self.is_open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lines = [f"CONNECT {where} HTTP/1.1", f"host: {where}"]
        if authorization is not None:
            lines.append(f"proxy-authorization: {authorization}")
        self._request = "\r\n".join([*lines, "", ""]).encode("ascii")
        self._said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._said += data
        head, is_whole, rest = self._said.partition(b"\r\n\r\n")
        if is_whole:
            # A server behind the tunnel sends nothing first.
            if re.match(rb"HTTP/1\.\d 2\d\d\b", head) and not rest:
                if not self.is_open.done():
                    self.is_open.set_result(None)
            else:
                self._stay_shut("The proxy does not let requests through.")
        elif len(self._said) > _LONGEST_PROXY_HEAD:
            self._stay_shut("The proxy does not speak proper HTTP.")

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._stay_shut("The proxy broke off.")

    def _stay_shut(self, reason: str) -> None:
        if not self.is_open.done():
            self.is_open.set_exception(ConnectionError(reason))
            self.is_open.exception()  # retrieved, if the waiter was canceled


def _open_still(transport: asyncio.Transport | None) -> asyncio.Transport:
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    return transport


async def _connected(
    new: Callable[[], P], address: Address, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.Transport, P]:
    is_secure = address.scheme == "https"
    context = (tls or await tls_context()) if is_secure else None
    return await asyncio.get_running_loop().create_connection(
        new,
        sock=await _open(address),
        ssl=context,
        server_hostname=address.host if is_secure else None,
    )


async def _open(address: Address) -> socket.socket:
    """Return a socket connected to the first address that answers."""
    found = await look_up(address.host, address.port)
    return await aiohappyeyeballs.start_connection(
        [_info(each, address.port) for each in found],
        happy_eyeballs_delay=_NEXT_ADDRESS_AFTER,
        interleave=1,
    )


def _info(ip: IpAddress, port: int) -> aiohappyeyeballs.AddrInfoType:
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(ip), port)
