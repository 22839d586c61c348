"""What servers send that is no HTTP, or too much of it."""

import asyncio
import time

import pytest

from llamakeep.http import ConnectionLost, ProtocolError, ReadTimeout
from llamakeep.http.connection import MOST_AROUND_A_BODY
from tests.http.asking import ask, body_of, client_of, serving
from tests.providers.stub_server import Line, Then
from tests.waiting import until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
HELLO = b"content-length: 5\r\n\r\nhello"


@pytest.mark.parametrize(
    "chunk",
    [
        b"+5\r\nhello\r\n",
        b"-1\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"1_0\r\nhello, hello, hel\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\n",
        b"\r\nhello\r\n",
        b"5\r\nhello, world\r\n",
        b"f" * 17 + b"\r\nhello\r\n",
    ],
)
async def test_a_size_of_a_chunk_is_nothing_but_hexadecimal_digits(
    chunk: bytes,
) -> None:
    async with serving(CHUNKED + chunk + b"0\r\n\r\n", Then.CLOSE) as (_, client):
        with pytest.raises(ProtocolError):
            await ask(client)


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 5\r\n"
        + CHUNKED.removeprefix(OK)
        + b"5\r\nhello\r\n0\r\n\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"content-length: 5, 5\r\n\r\nhello",
        b"content-length: +5\r\n\r\nhello",
        b"content-length: -5\r\n\r\nhello",
        b"content-length: 5_0\r\n\r\nhello",
        b"content-length: \r\n\r\nhello",
        b"content-length: " + b"9" * 30 + b"\r\n\r\nhello",
        b"content-length : 5\r\n\r\nhello",
        b"transfer-encoding: gzip\r\n\r\nhello",
        b"transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n"
        + CHUNKED.removeprefix(OK)
        + b"5\r\nhello\r\n0\r\n\r\n",
        b"x: a\0b\r\n" + HELLO,
        b"x: a\r\n b\r\n" + HELLO,
        b"x: a\r\r\n" + HELLO,
    ],
)
async def test_a_head_with_two_meanings_is_refused(headers: bytes) -> None:
    async with serving(OK + headers, Then.CLOSE) as (_, client):
        with pytest.raises(ProtocolError):
            await ask(client)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 101 -", b"HTTP/1.1 000 -", b"HTTP/1.1 20 -", b"HTTP/1.2 200 -"]
)
async def test_a_first_line_has_a_status_of_http(start: bytes) -> None:
    async with serving(start + b"\r\n" + HELLO, Then.HANG) as (_, client):
        with pytest.raises(ProtocolError):
            await ask(client)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + HELLO + b", world", b"hello"),
        (OK + HELLO + OK + b"content-length: 3\r\n\r\nbad", b"hello"),
        (b"HTTP/1.1 204 -\r\n" + HELLO, b""),
        (b"HTTP/1.1 304 -\r\n" + HELLO, b""),
    ],
)
async def test_what_follows_a_response_is_no_part_of_it_nor_of_the_next(
    answer: bytes, body: bytes
) -> None:
    async with serving(answer) as (stub, client):
        for _ in range(2):
            assert await ask(client) == body

        assert stub.connections == 2


async def test_an_offer_of_another_protocol_is_ignored() -> None:
    offer = b"upgrade: h2,h2c\r\nconnection: Upgrade\r\n"
    async with serving(OK + offer + HELLO) as (_, client):
        assert await ask(client) == b"hello"


TOO_MUCH = b"y" * 20 * MOST_AROUND_A_BODY


@pytest.mark.parametrize(
    "script",
    [
        (b"HTTP/1.1 103 Hint\r\n\r\n" * 10_000, Then.HANG),
        (b"HTTP/1.1 100 -\r\nx: " + TOO_MUCH, Then.HANG),
        (b"HTTP/1.1 200 " + TOO_MUCH, Then.HANG),
        (OK + TOO_MUCH, Then.HANG),
        (OK + b"a:\r\n" * 250_000, Then.HANG),
        (CHUNKED + b"5;" + TOO_MUCH, Then.HANG),
        (CHUNKED + b"5\r\nhello\r\n0\r\n" + b"a:b\r\n" * 250_000, Then.HANG),
        (CHUNKED + b"0" * 20 * MOST_AROUND_A_BODY, Then.HANG),
        (b"\r\n" * 10 * MOST_AROUND_A_BODY, Then.HANG),
    ],
)
async def test_there_is_an_end_to_what_is_around_a_body(
    script: tuple[Line, ...],
) -> None:
    async with serving(*script) as (_, client):
        with pytest.raises(ProtocolError):
            await ask(client)


@pytest.mark.parametrize(
    "drip", [b"HTTP/1.1 102 Processing\r\n\r\n", OK, OK + b"x: y\r\n" * 9, CHUNKED]
)
async def test_a_drip_of_bytes_does_not_outlast_the_time_that_a_request_has(
    drip: bytes,
) -> None:
    drops: list[Line] = []
    for place in range(len(drip)):
        drops += [drip[place : place + 1], 0.03]
    async with serving(*drops * 20, silence_timeout=0.3) as (_, client):
        began = time.monotonic()
        with pytest.raises((ReadTimeout, ProtocolError)):
            async with client.send("GET", "/", seconds=0.5) as response:
                await body_of(response)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("rest", [b"\r\n", b"junk"])
async def test_what_comes_without_end_after_a_response_closes_the_connection(
    rest: bytes,
) -> None:
    script = (OK + HELLO, 0.01, rest * 10 * MOST_AROUND_A_BODY)
    async with serving(*script) as (stub, client):
        assert await ask(client) == b"hello"
        await until(lambda: not stub.open_now)
        assert await ask(client) == b"hello"

    assert stub.connections == 2


async def test_a_response_that_comes_before_all_of_the_request_was_sent_is_read() -> (
    None
):
    goes_on = asyncio.Event()

    async def refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 -\r\n" + HELLO)
        await goes_on.wait()
        writer.transport.abort()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, client_of(url) as client:
        for _ in range(2):  # what was not sent is not sent behind the next request
            async with client.send("POST", "/", json="x" * 20_000_000) as response:
                assert response.status == 413
                assert await body_of(response) == b"hello"
        goes_on.set()


async def test_many_small_pieces_are_one_when_they_are_read() -> None:
    pieces = b"1\r\nx\r\n" * 20_000
    async with (
        serving(CHUNKED + pieces + b"0\r\n\r\n") as (_, client),
        client.send("GET", "/") as response,
    ):
        await asyncio.sleep(0.05)
        assert await body_of(response) == b"x" * 20_000


async def test_a_length_that_is_not_kept_is_broken_off() -> None:
    async with serving(OK + b"content-length: 99\r\n\r\nhello", Then.CLOSE) as (
        _,
        client,
    ):
        with pytest.raises(ConnectionLost):
            await ask(client)
