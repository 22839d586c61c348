"""Clients that are slow, endless or gone, and what others notice of them."""

import asyncio
import gzip
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llamakeep.server.connections import LINGER, LINGER_SIZE
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.waiting import LONG_ENOUGH

HEADER_TIMEOUT, BODY_TIMEOUT, WRITE_TIMEOUT = 1.0, 1.5, 1.5
NOTICED = LONG_ENOUGH
"""Seconds in which a busy machine has noticed that a deadline is over."""
POST = b"POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def server(new_server: NewServer) -> ServerProcess:
    server = new_server(
        settings={
            "header_timeout": HEADER_TIMEOUT,
            "body_timeout": BODY_TIMEOUT,
            "write_timeout": WRITE_TIMEOUT,
        }
    )
    await server.start()
    assert (await server.client.get("/readyz")).status_code == 200
    return server


class Connection:
    """A client that writes what it likes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ended(self) -> bytes:
        """Return what the server says until it hangs up."""
        said = b""
        async with asyncio.timeout(LONG_ENOUGH):
            try:
                while data := await self._reader.read(65536):
                    said += data
            except ConnectionError:
                pass
        return said


@asynccontextmanager
async def connected(server: ServerProcess) -> AsyncIterator[Connection]:
    url = server.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def seconds(something: Awaitable[object]) -> float:
    began = time.monotonic()
    await something
    return time.monotonic() - began


async def memory(server: ServerProcess) -> int:
    """Return how many bytes of memory the server has, where the system tells."""
    statm = Path(f"/proc/{server.pid}/statm")
    if not await asyncio.to_thread(statm.exists):
        return 0
    pages = (await asyncio.to_thread(statm.read_text)).split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def status_of(said: bytes) -> int:
    head, _, body = said.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert json.loads(body)["status"] == status
    return status


@pytest.mark.parametrize(
    ("sent", "status", "allowed"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost", 408, HEADER_TIMEOUT),
        (POST + b"Content-Length: 100\r\n\r\n{", 408, BODY_TIMEOUT),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", 408, BODY_TIMEOUT),
    ],
)
async def test_half_a_request_is_told_that_it_took_too_long(
    server: ServerProcess, sent: bytes, status: int, allowed: float
) -> None:
    async with connected(server) as connection:
        began = time.monotonic()
        await connection.send(sent)

        assert status_of(await connection.ended()) == status
        assert allowed <= time.monotonic() - began < allowed + NOTICED


async def test_who_says_nothing_is_hung_up_on(server: ServerProcess) -> None:
    async with connected(server) as connection:
        assert await seconds(connection.ended()) < HEADER_TIMEOUT + NOTICED


async def test_headers_that_trickle_in_get_no_more_time(server: ServerProcess) -> None:
    async with connected(server) as connection:
        ended = asyncio.create_task(connection.ended())
        began = time.monotonic()
        await connection.send(b"GET /healthz HTTP/1.1\r\n")
        while not ended.done():
            try:
                await connection.send(b"X: y\r\n")
            except ConnectionError:
                break
            await asyncio.sleep(0.1)

        assert status_of(await ended) == 408
        assert time.monotonic() - began < HEADER_TIMEOUT + NOTICED


@pytest.mark.parametrize(
    "line", [b"X: " + b"y" * 60_000 + b"\r\n", b"X: y\r\n" * 10_000, b"y" * 65_536]
)
async def test_endless_headers_are_refused_and_take_no_memory(
    server: ServerProcess, line: bytes
) -> None:
    before = await memory(server)
    async with connected(server) as connection:
        ended = asyncio.create_task(connection.ended())
        await connection.send(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(1000):  # 60 MB
            try:
                await connection.send(line)
            except ConnectionError:
                break

        # Who writes on when nobody reads may lose the answer.
        said = await ended
        assert not said or status_of(said) == 431
        assert await memory(server) - before < 30 * 1024 * 1024


async def test_headers_that_are_too_large_are_refused_in_one_piece_as_well(
    server: ServerProcess,
) -> None:
    async with connected(server) as connection:
        await connection.send(
            b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"
        )

        assert status_of(await connection.ended()) == 431


async def test_what_is_not_http_gets_a_problem(server: ServerProcess) -> None:
    async with connected(server) as connection:
        await connection.send(b"\x16\x03\x01 hello\r\n\r\n")

        said = await connection.ended()
        assert status_of(said) == 400
        assert b"\r\nx-content-type-options: nosniff\r\n" in said


async def test_an_endless_body_is_refused_and_ended(server: ServerProcess) -> None:
    before = await memory(server)
    async with connected(server) as connection:
        ended = asyncio.create_task(connection.ended())
        await connection.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        began = time.monotonic()
        sent = 0
        while not ended.done():
            try:
                await connection.send(b"80000\r\n" + b"y" * 0x80000 + b"\r\n")
            except ConnectionError:
                break
            sent += 0x80000
            await asyncio.sleep(0.001)

        said = await ended  # who writes on when nobody reads may lose the answer
        assert not said or b" 413 " in said.partition(b"\r\n")[0]
        assert time.monotonic() - began < BODY_TIMEOUT + NOTICED
        assert sent < 2 * LINGER_SIZE  # the systems' buffers take some
        assert await memory(server) - before < 30 * 1024 * 1024


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(
            [POST + b"Content-Length: 2000000\r\n\r\n", b"y" * 2_000_000],
            id="the rest of a body that was refused",
        ),
        pytest.param(
            [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n"],
            id="an empty line",
        ),
    ],
)
async def test_what_comes_behind_an_answer_keeps_no_connection_open(
    server: ServerProcess, sent: list[bytes]
) -> None:
    request, more = sent
    async with connected(server) as connection:
        ended = asyncio.create_task(connection.ended())
        await connection.send(request)
        await asyncio.sleep(0.3)  # it is answered
        await connection.send(more)

        assert (await ended).count(b"HTTP/1.1 ") == 1


async def test_a_body_that_was_refused_is_not_waited_for(new_server: NewServer) -> None:
    server = new_server()
    await server.start()
    async with connected(server) as connection:
        await connection.send(POST + b"Content-Length: 2000000\r\n\r\n{")

        took = await seconds(connection.ended())

    assert took < LINGER + NOTICED


async def test_what_gzip_made_small_is_not_made_large_again(
    server: ServerProcess,
) -> None:
    before = await memory(server)
    bomb = gzip.compress(b'{"username": "' + b"y" * 50_000_000 + b'"}')

    response = await server.client.post(
        "/login/",
        content=bomb,
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
    )

    assert response.status_code == 400
    assert await memory(server) - before < 30 * 1024 * 1024


async def test_a_client_that_does_not_read_its_stream_is_hung_up_on(
    new_server: NewServer,
) -> None:
    settings = {"write_timeout": WRITE_TIMEOUT}
    server = new_server(words=1_000_000, pause=0, settings=settings)
    await server.start()
    # The less the system takes in for the client, the sooner there is too much.
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    url = server.client.base_url
    await asyncio.get_running_loop().sock_connect(client, (url.host, url.port))
    _, writer = await asyncio.open_connection(sock=client, limit=1024)
    body = b'{"prompt": "Talk.", "stream": true}'
    writer.write(
        POST.replace(b"/login/", b"/prompt/")
        + b"Authorization: Bearer token_alice\r\n"
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )

    async def hung_up() -> None:
        # A connection that was reset can be written to once.
        while True:
            await asyncio.sleep(0.2)
            writer.write(b"\r\n")
            await writer.drain()

    try:
        async with asyncio.timeout(2 * LONG_ENOUGH):
            with pytest.raises(ConnectionError):
                await hung_up()
    finally:
        writer.transport.abort()


async def test_others_are_served_while_a_crowd_dawdles(new_server: NewServer) -> None:
    an_hour = {"header_timeout": 3600, "body_timeout": 3600}
    server = new_server(settings=an_hour)
    await server.start()
    assert (await server.client.get("/readyz")).status_code == 200
    before = await memory(server)
    url = server.client.base_url
    crowd = [(await asyncio.open_connection(url.host, url.port))[1] for _ in range(300)]
    for number, writer in enumerate(crowd):
        half = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(half if number % 6 else POST + b"Content-Length: 100\r\n\r\n{")

    answers = [await server.client.get("/healthz") for _ in range(30)]
    for writer in crowd:
        writer.transport.abort()

    assert {answer.status_code for answer in answers} == {200}
    assert await memory(server) - before < 30 * 1024 * 1024


async def test_half_requests_do_not_hold_up_the_end(new_server: NewServer) -> None:
    server = new_server(settings={"header_timeout": 3600, "body_timeout": 3600})
    await server.start()
    assert (await server.client.get("/readyz")).status_code == 200
    async with connected(server) as half_head, connected(server) as half_body:
        await half_head.send(b"GET /healthz HTTP/1.1\r\nHost")
        await half_body.send(POST + b"Content-Length: 100\r\n\r\n{")
        await asyncio.sleep(0.1)

        async with asyncio.timeout(LONG_ENOUGH):
            await server.stop(signal.SIGTERM)
        said = await half_body.ended()

    assert status_of(said) == 408
    assert "Exception" not in await asyncio.to_thread(server.log.read_text)
