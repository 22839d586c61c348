"""Requests as bytes: what of them counts, and what is refused."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from starlette.types import Receive, Scope, Send

from llamakeep.logs.access import AccessLog
from llamakeep.server.connections import LINGER_SIZE, MOST_WAITING
from tests.server.echoing import BOUNDS, Echoing, echoing, parsed

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n"
BYE = b"GET /bye HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def server() -> AsyncIterator[Echoing]:
    async with echoing() as server:
        yield server


@pytest.mark.parametrize("in_bytes", [False, True], ids=["at once", "byte by byte"])
async def test_a_trailer_is_no_header(server: Echoing, *, in_bytes: bool) -> None:
    trailers = (
        b"0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 6.6.6.6\r\nHost: evil\r\n"
        b"Connection: upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\r\n"
    )

    [answer] = await server.ask(CHUNKED + HELLO + trailers, in_bytes=in_bytes)

    assert answer.status == 200
    assert answer.echo["body"] == "hello"
    names = [name for name, _ in answer.echo["headers"]]
    assert names == ["host", "connection", "transfer-encoding"]


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"a:b\r\n" * 1000, id="many trailers"),
        pytest.param(b"a" * 5000, id="one name"),
        pytest.param(b"a: " + b"b" * 5000, id="one value"),
    ],
)
async def test_trailers_without_end_are_refused(
    server: Echoing, endless: bytes
) -> None:
    said = await server.say(CHUNKED + HELLO + b"0\r\n", *[endless] * 200)

    [answer] = parsed(said)
    assert answer.status == 431


async def test_trailers_that_come_at_once_are_refused_when_they_are_too_large(
    server: Echoing,
) -> None:
    [answer] = await server.ask(CHUNKED + HELLO + b"0\r\n" + b"a:b\r\n" * 20_000)

    assert answer.status == 431


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(b"1;" + b"x" * 10_000 + b"\r\ny\r\n", id="extensions"),
        pytest.param(b"5;" + b"x" * 10_000, id="one extension"),
        pytest.param(b"0" * 10_000, id="one size"),
    ],
)
async def test_chunks_that_are_mostly_framing_are_refused(
    server: Echoing, framing: bytes
) -> None:
    said = await server.say(CHUNKED, *[framing] * 200)

    assert [answer.status for answer in parsed(said)] in ([431], [400])


async def test_chunks_of_one_byte_are_taken(server: Echoing) -> None:
    [answer] = await server.ask(CHUNKED + b"1\r\ny\r\n" * 40_000 + b"0\r\n\r\n")

    assert answer.echo["body"] == "y" * 40_000


async def test_some_requests_may_be_sent_before_the_answers(server: Echoing) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(MOST_WAITING)]

    answers = await server.ask(b"".join(requests) + BYE)

    paths = [answer.echo["path"] for answer in answers]
    assert paths == [*(f"/{n}" for n in range(MOST_WAITING)), "/bye"]


@pytest.mark.parametrize("path", ["/", "/stream"])
async def test_too_many_are_refused_behind_the_answer_that_has_begun(
    server: Echoing, path: str
) -> None:
    request = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()

    answers = await server.ask(request * 10_000)

    statuses = [answer.status for answer in answers]
    assert statuses == [200, 400]


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nrubbish\r\n", 400),
    ],
)
async def test_a_bad_request_does_not_end_the_answer_before_it(
    behind: bytes, status: int
) -> None:
    may_end = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        piece = {"type": "http.response.body", "body": b"Hel", "more_body": True}
        await send(piece)
        await may_end.wait()
        await send({"type": "http.response.body", "body": b"lo"})

    async with echoing(app) as server:
        saying = asyncio.create_task(
            server.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", behind, pause=0.05)
        )
        await asyncio.sleep(0.2)
        may_end.set()
        first, second = parsed(await saying)

    assert (first.status, first.body) == (200, b"Hello")
    assert second.status == status


async def test_a_client_that_leaves_is_noticed_with_requests_behind() -> None:
    left = asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        await receive()
        if (await receive())["type"] == "http.disconnect":
            left.set()

    async with echoing(app) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await asyncio.wait_for(left.wait(), 5)


async def test_who_goes_on_behind_a_refusal_is_hung_up_on(server: Echoing) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    block = b"y" * 1024 * 1024

    async def go_on() -> None:
        for _ in range(8 * LINGER_SIZE // len(block)):
            writer.write(block)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await go_on()
    writer.transport.abort()


async def test_a_request_that_waits_for_its_turn_is_not_too_slow() -> None:
    may_end = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await may_end.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with echoing(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        await asyncio.sleep(0.05)
        # The server does not read on: the client is not to blame.
        writer.write(POST + b"Content-Length: 5\r\nConnection: close\r\n\r\nhel")
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()
        server.expire(now + 2 * BOUNDS.body_timeout)
        writer.write(b"lo")
        may_end.set()
        said = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert said.count(b" 204 ") == 3


@pytest.mark.parametrize("in_bytes", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        b"upgrade: TLS/1.0\r\nupgrade: HTTP/2.0\r\nconnection: keep-alive, UPGRADE\r\n",
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["sized", "chunked"],
)
async def test_an_offer_of_another_protocol_is_ignored(
    server: Echoing, offer: bytes, body: bytes, *, in_bytes: bool
) -> None:
    requests = (POST + offer + body) * 2 + BYE

    answers = await server.ask(requests, in_bytes=in_bytes)

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.echo["body"] for answer in answers] == ["hello", "hello", ""]


async def test_an_offer_without_a_body_is_ignored_as_well(server: Echoing) -> None:
    get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

    answers = await server.ask(get + BYE)

    assert [answer.echo["path"] for answer in answers] == ["/", "/bye"]


async def test_offers_are_bounded_like_other_requests(server: Echoing) -> None:
    get = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

    answers = await server.ask(get * 3000)

    assert [answer.status for answer in answers] == [200, 400]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_stream_ends_as_the_client_can_read_it(
    server: Echoing, version: str
) -> None:
    request = f"GET /stream HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n"

    [answer] = await server.ask(request.encode())

    assert answer.echo["path"] == "/stream"
    assert ("transfer-encoding" in dict(answer.headers)) == (version == "1.1")
    assert dict(answer.headers)["connection"] == "close"


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n"])
async def test_http_1_0_gets_one_answer_and_no_interim_one(
    server: Echoing, more: bytes
) -> None:
    post = b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"

    [answer] = await server.ask(post + more + b"\r\nhi")

    assert answer.echo["body"] == "hi"


HEADERS = {
    "no host": (b"", 400),
    "two hosts": (b"Host: a\r\nHost: a\r\n", 400),
    "a host with a space": (b"Host: a b\r\n", 400),
    "a host with a path": (b"Host: a/b\r\n", 400),
    "a host with a user": (b"Host: a@b\r\n", 400),
    "two hosts in one": (b"Host: a, b\r\n", 400),
    "a folded host": (b"Host: a\r\n b\r\n", 400),
    "a coding and chunked": (b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
    "the same in two headers": (
        b"Host: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        501,
    ),
    "a coding": (b"Host: x\r\nTransfer-Encoding: gzip\r\n", 501),
    "no coding": (b"Host: x\r\nTransfer-Encoding: identity\r\n", 501),
    "chunked like": (b"Host: x\r\nTransfer-Encoding: xchunked\r\n", 501),
    "chunked in quotes": (b'Host: x\r\nTransfer-Encoding: "chunked"\r\n', 501),
    "chunked twice": (b"Host: x\r\nTransfer-Encoding: chunked, chunked\r\n", 400),
    "chunked first": (b"Host: x\r\nTransfer-Encoding: chunked, identity\r\n", 400),
    "chunked behind a tab": (b"Host: x\r\nTransfer-Encoding: \x0bchunked\r\n", 400),
    "both lengths": (
        b"Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    "both, the other way": (
        b"Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        400,
    ),
    "two lengths": (b"Host: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n", 400),
    "a length twice": (b"Host: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n", 400),
    "a list of lengths": (b"Host: x\r\nContent-Length: 5, 5\r\n", 400),
    "a signed length": (b"Host: x\r\nContent-Length: +5\r\n", 400),
    "a negative length": (b"Host: x\r\nContent-Length: -5\r\n", 400),
    "an empty length": (b"Host: x\r\nContent-Length:\r\n", 400),
    "a huge length": (b"Host: x\r\nContent-Length: 99999999999999999999999\r\n", 400),
    "a folded header": (b"Host: x\r\nX: a\r\n b\r\n", 400),
    "a folded coding": (b"Host: x\r\nTransfer-Encoding:\r\n chunked\r\n", 400),
    "a space before the colon": (b"Host: x\r\nContent-Length : 5\r\n", 400),
    "no colon": (b"Host: x\r\nX\r\n", 400),
    "no name": (b"Host: x\r\n: a\r\n", 400),
    "a line feed alone": (b"Host: x\nX: y\r\n", 400),
    "a carriage return alone": (b"Host: x\r\nX: y\rZ: w\r\n", 400),
    "a null byte": (b"Host: x\r\nX: y\0\r\n", 400),
}


@pytest.mark.parametrize(
    ("headers", "status"),
    HEADERS.values(),
    ids=[name.replace(" ", "-") for name in HEADERS],
)
@pytest.mark.parametrize("in_bytes", [False, True], ids=["at-once", "byte-by-byte"])
async def test_a_head_that_can_be_read_in_two_ways_is_refused(
    server: Echoing, headers: bytes, status: int, *, in_bytes: bool
) -> None:
    post = b"POST / HTTP/1.1\r\n" + headers + b"\r\n"

    [answer] = await server.ask(post + b"0\r\n\r\n" + BYE, in_bytes=in_bytes)

    assert answer.status == status


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\n",
        b"fffffffffffffffff\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_chunks_that_can_be_read_in_two_ways_are_refused(
    server: Echoing, chunks: bytes
) -> None:
    [answer] = await server.ask(CHUNKED + chunks + BYE)

    assert answer.status == 400


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET foo HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_of_http_1_is_refused(
    server: Echoing, request_: bytes, status: int
) -> None:
    [answer] = await server.ask(request_)

    assert answer.status == status


@pytest.mark.parametrize(
    "host",
    ["x", "", "x:8000", "127.0.0.1:8000", "[::1]:8000", "[fe80::1%25eth0]", "a_b.c-d."],
)
async def test_hosts_of_every_kind_are_taken(server: Echoing, host: str) -> None:
    get = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"

    [answer] = await server.ask(get.encode())

    assert answer.status == 200


async def test_a_body_that_breaks_behind_its_answer_gets_no_second_one(
    server: Echoing,
) -> None:
    post = b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    answers = parsed(await server.say(post, b"rubbish\r\n", pause=0.05))

    assert [answer.status for answer in answers] == [200]


async def test_a_request_that_cannot_be_read_has_an_id_and_a_line_in_the_log() -> None:
    lines = io.StringIO()
    log = AccessLog(lines)
    bounds = replace(BOUNDS, access_log=log)
    async with echoing(bounds=bounds) as server:
        [answer] = await server.ask(b"GET /hunter2 HTTP/1.1\r\nno header\r\n\r\n")

    own_id = dict(answer.headers)["x-request-id"]
    log.flush()
    assert lines.getvalue().endswith(
        f" INFO llamakeep.access: - - 400 bytes={len(answer.body)} request={own_id}\n"
    )
