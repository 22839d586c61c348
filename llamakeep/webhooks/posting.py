"""
Sending one webhook, to permitted addresses only.

It follows no redirects, uses no proxies, cookies or credentials, and connects to the
address that was checked, since a second lookup of the name could return another one.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from llamakeep.http import HttpError, ProtocolError, ReadTimeout, Response
from llamakeep.http.connection import Connection
from llamakeep.http.names import look_up
from llamakeep.http.tls import tls_context
from llamakeep.webhooks.addresses import Address, Guard, NotAllowed, Target

LONGEST_ANSWER = 64 * 1024
"""How many bytes of a response are read, and discarded."""

MOST_ADDRESSES = 4
"""How many of a host's addresses are tried."""

CONNECT_TIMEOUT = 4
"""Seconds that one address may take to accept a connection."""

_DIGITS = re.compile(r"[0-9]{1,20}")

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Returns the addresses of a name, for a port."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one try."""

    status: int | None = None
    """The receiver's status code, if it responded."""
    trouble: str | None = None
    """Why it did not respond; shown to the user."""
    retry_after: float | None = None
    """The receiver's `Retry-After`, in seconds."""

    @property
    def is_delivered(self) -> bool:
        """Whether the status code is 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """Sends webhooks."""

    def __init__(self, guard: Guard, *, resolve: Resolve | None = None) -> None:
        self._guard = guard
        self._resolve = resolve or look_up

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Outcome:
        """Send `body` to `url`, within `seconds`."""
        heads: list[Response] = []
        trouble = f"The receiver did not answer within {seconds:g} seconds."
        try:
            async with asyncio.timeout(seconds):
                target = self._guard.target(url)
                connection = await self._connect(target, seconds)
                try:
                    connection.ask(_request(target, headers, body), deadline=None)
                    heads.append(await connection.head())
                    await _drain(heads[0])
                finally:
                    connection.hang_up()
        except NotAllowed as error:
            trouble = str(error)
        except ssl.SSLCertVerificationError:
            trouble = "The receiver's certificate is not valid for its name."
        except (TimeoutError, ReadTimeout):
            pass
        except ProtocolError:
            trouble = "The receiver does not speak proper HTTP."
        except (OSError, HttpError):
            trouble = "The receiver cannot be reached, or broke off."
        if heads:  # errors while reading the body do not matter
            asked_for = _seconds(heads[0].header("retry-after") or "")
            return Outcome(heads[0].status, retry_after=asked_for)
        return Outcome(trouble=trouble)

    async def _connect(self, target: Target, seconds: float) -> Connection:
        """Connect to a permitted address of `target`."""
        # The same message for a name that does not exist, so that users cannot find out
        # which names exist in this server's network.
        refusal = NotAllowed("The host has no address that webhooks may be sent to.")
        try:
            known = await self._resolve(target.host, target.port)
        except socket.gaierror:
            raise refusal from None
        allowed = [each for each in known if self._guard.allows(target, each)]
        if not allowed:
            raise refusal
        context = await tls_context() if target.scheme == "https" else None
        loop = asyncio.get_running_loop()
        trouble: OSError | None = None
        for address in allowed[:MOST_ADDRESSES]:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    _, connection = await loop.create_connection(
                        lambda: Connection(seconds),
                        str(address),
                        target.port,
                        ssl=context,
                        server_hostname=target.host if context else None,
                    )
                    return connection
            except TimeoutError:
                trouble = ConnectionRefusedError()
            except OSError as error:
                trouble = error
        assert trouble is not None
        raise trouble


async def _drain(response: Response) -> None:
    # A receiver may fail if the connection is closed before it has responded in full.
    left = LONGEST_ANSWER
    while left > 0 and (data := await response.read()) is not None:
        left -= len(data)


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
    if _DIGITS.fullmatch(header):
        return float(header[:9])
    with suppress(ValueError, OverflowError, TypeError):
        then = parsedate_to_datetime(header)
        return max(0.0, then.timestamp() - time.time())
    return None
