"""
Sending a webhook to where it may go, and nowhere else.

A client of its own: it follows no redirects, knows no proxies, cookies or credentials,
and connects to an address that was looked at, not to a name that might have changed.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httptools

from llamakeep.http.names import look_up
from llamakeep.http.tls import tls_context
from llamakeep.security.addresses import Address, Guard, NotAllowed, Target

LONGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read, with its headers; they are thrown away."""

MOST_ADDRESSES = 4
"""How many of a host's addresses are tried."""

CONNECT_TIMEOUT = 4
"""Seconds that one address may take to accept a connection."""

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Returns the addresses of a name, for a port."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try."""

    status: int | None = None
    """What the receiver answered, if it did."""
    trouble: str | None = None
    """Why it did not, in words that its sender may read."""
    retry_after: float | None = None
    """Seconds that the receiver asked for."""

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """
    Sends webhooks.

    Args:
        guard: Decides where to.
        resolve: Looks names up.
    """

    def __init__(self, guard: Guard, *, resolve: Resolve | None = None) -> None:
        self._guard = guard
        self._resolve = resolve or look_up

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Outcome:
        """Send `body` to `url`, and return what became of it after so long at most."""
        answer = _Answer()
        trouble = f"The receiver did not answer within {seconds:g} seconds."
        try:
            async with asyncio.timeout(seconds):
                target = self._guard.target(url)
                await self._send(target, _request(target, headers, body), answer)
        except NotAllowed as error:
            trouble = str(error)
        except ssl.SSLCertVerificationError:
            trouble = "The receiver's certificate is not valid for its name."
        except TimeoutError:
            pass
        except OSError:
            trouble = "The receiver cannot be reached, or broke off."
        except httptools.HttpParserError:
            trouble = "The receiver does not speak proper HTTP."
        if answer.status is not None:
            return Outcome(answer.status, retry_after=answer.retry_after)
        return Outcome(trouble=trouble)

    async def _send(self, target: Target, request: bytes, answer: "_Answer") -> None:
        reader, writer = await self._connect(target)
        try:
            writer.write(request)
            await writer.drain()
            left = LONGEST_ANSWER
            while left > 0 and not answer.is_complete:
                data = await reader.read(left)
                if not data:
                    raise ConnectionResetError
                left -= len(data)
                answer.parser.feed_data(data)
            if answer.status is None:
                raise httptools.HttpParserError
        finally:
            writer.transport.abort()

    async def _connect(
        self, target: Target
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """
        Connect to an address of `target` that is allowed.

        Raises:
            NotAllowed: It has none.
            OSError: None of them can be reached, or trusted.
        """
        # The same words for a name that there is not: nobody shall find out which names
        # there are in this server's network.
        refusal = NotAllowed("The host has no address that webhooks may be sent to.")
        try:
            known = await self._resolve(target.host, target.port)
        except socket.gaierror:
            raise refusal from None
        allowed = [each for each in known if self._guard.allows(target, each)]
        if not allowed:
            raise refusal
        context = await tls_context() if target.scheme == "https" else None
        trouble: OSError | None = None
        for address in allowed[:MOST_ADDRESSES]:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    return await asyncio.open_connection(
                        str(address),
                        target.port,
                        ssl=context,
                        server_hostname=target.host if context else None,
                        limit=LONGEST_ANSWER,
                    )
            except TimeoutError:
                trouble = ConnectionRefusedError()
            except OSError as error:
                trouble = error
        assert trouble is not None
        raise trouble


class _Answer:
    """What httptools tells of an answer, and its end."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after: float | None = None
        self.is_complete = False
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self.retry_after = _seconds(value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= HTTPStatus.OK:  # else another one follows
            self.status = status

    def on_message_complete(self) -> None:
        self.is_complete = self.status is not None


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    head = [
        f"POST {target.path} HTTP/1.1",
        f"host: {target.authority}",
        "user-agent: llamakeep",
        "accept: */*",
        "accept-encoding: identity",
        f"content-length: {len(body)}",
        "connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body


def _seconds(header: str) -> float | None:
    """Return the seconds that a `Retry-After` asks for."""
    if header.isdecimal():
        return float(header[:9])
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, then.timestamp() - time.time())
