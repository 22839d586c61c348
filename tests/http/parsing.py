"""Two parsers of the same bytes: the client's connection, and h11."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import h11

from llamakeep.http import HttpError
from llamakeep.http.connection import Connection

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@dataclass(frozen=True)
class Verdict:
    """What one request got."""

    is_whole: bool
    """Whether the response came to an end that is certain."""
    status: int | None
    body: bytes


class Wire(asyncio.Transport):
    """A transport that only notes whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False

    def write(self, data: Any) -> None:
        assert bytes(data) == REQUEST

    def abort(self) -> None:
        self.is_cut = True

    def is_closing(self) -> bool:
        return self.is_cut

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def by_the_client(pieces: Iterable[bytes], *, is_closed: bool) -> Verdict:
    """
    Return what the client makes of these bytes.

    Args:
        pieces: What arrives, piece by piece.
        is_closed: Whether the server closes the connection after them.
    """
    connection, wire = Connection(silence_timeout=3600), Wire()
    connection.connection_made(wire)
    connection.ask(REQUEST, deadline=None)
    for piece in pieces:
        if not wire.is_cut:
            connection.data_received(piece)
    if is_closed or wire.is_cut:
        connection.connection_lost(None)
    status, body = None, b""
    try:
        # What does not have to be waited for is there at once.
        async with asyncio.timeout(0):
            response = await connection.head()
            status = response.status
            while (data := await response.read()) is not None:
                body += data
    except (HttpError, TimeoutError):
        return Verdict(False, status, body)
    finally:
        connection.hang_up()
    return Verdict(True, status, body)


def by_h11(pieces: Iterable[bytes], *, is_closed: bool) -> Verdict:
    """Return what h11 makes of the same bytes."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    parser.send(h11.EndOfMessage())
    status, body = None, b""
    try:
        for piece in chain(pieces, [b""] if is_closed else []):
            parser.receive_data(piece)
            while (event := parser.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return Verdict(True, status, body)
                elif not isinstance(event, h11.InformationalResponse):
                    return Verdict(False, status, body)
    except h11.RemoteProtocolError:
        pass
    return Verdict(False, status, body)
