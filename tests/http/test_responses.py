import asyncio

import pytest

from llamakeep.http import ConnectionLost, HttpError, ProtocolError, ReadTimeout
from llamakeep.http.connection import MOST_AROUND_A_BODY
from tests.http.asking import OK, ask, body_of, serving
from tests.providers.stub_server import END, Then, head, piece, whole
from tests.waiting import until


async def test_a_request_says_what_it_is() -> None:
    async with serving(whole(201, {"a": 1}, x_mark="é")) as (stub, client):
        sent = client.send(
            "POST", "/things?x=1", headers={"x-key": "k"}, json={"word": "schön"}
        )
        async with sent as response:
            body = await body_of(response)

    assert (response.status, body) == (201, b'{"a": 1}')
    assert response.header("content-type") == "application/json"
    assert response.header("x-other") is None
    heard = stub.heard[0]
    assert (heard.method, heard.path) == ("POST", "/v1/things?x=1")
    assert heard.json == {"word": "schön"}
    assert heard.headers["host"] == stub.base_url[7:-3]
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["x-key"] == "k"
    assert "accept-encoding" not in heard.headers, "a stream would be held back"


async def test_a_body_comes_as_it_arrives() -> None:
    goes_on = asyncio.Event()
    script = (head(), piece(b"one"), piece(b" two"), goes_on, piece(b" three"), END)
    async with serving(*script) as (_, client), client.send("GET", "/") as response:
        first = await response.read() or b""
        while first != b"one two":
            first += await response.read() or b""
        goes_on.set()
        assert await body_of(response) == b" three"
        assert await response.read() is None


async def test_a_body_without_length_ends_with_its_connection() -> None:
    async with serving(b"HTTP/1.1 200 -\r\n\r\nall of it", Then.CLOSE) as (_, client):
        assert await ask(client) == b"all of it"


@pytest.mark.parametrize(
    "script",
    [
        (b"HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\nhalf", Then.CLOSE),
        (head(), piece(b"half"), Then.CLOSE),
        (head(), piece(b"half"), 0.05, Then.RESET),
    ],
)
async def test_what_came_before_a_connection_broke_is_read(
    script: tuple[bytes, ...],
) -> None:
    async with serving(*script) as (_, client), client.send("GET", "/") as response:
        assert await response.read() == b"half"
        with pytest.raises(ConnectionLost):
            await response.read()


async def test_an_interim_response_is_not_the_response() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + hints
    async with (
        serving(interim + OK) as (_, client),
        client.send("GET", "/") as response,
    ):
        assert response.status == 200
        assert response.header("link") is None
        assert await body_of(response) == b"{}"


@pytest.mark.parametrize(
    "script",
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n",),
        (b"HTTP/1.1 101 -\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",),
        (b"HTTP/1.1 200 -\r\nx: " + b"x" * 20 * MOST_AROUND_A_BODY, Then.HANG),
        (b"HTTP/1.1 200 -\r\n" + b"x: y\r\n" * MOST_AROUND_A_BODY, Then.HANG),
    ],
)
async def test_what_is_no_head_is_refused(script: tuple[bytes, ...]) -> None:
    async with serving(*script) as (_, client):
        with pytest.raises(ProtocolError):
            await ask(client)


@pytest.mark.parametrize(
    "ending",
    [
        (b"not a length\r\n",),
        (b"0\r\nx: " + b"x" * 20 * MOST_AROUND_A_BODY, Then.HANG),
        (b"1;" + b"x" * 20 * MOST_AROUND_A_BODY, Then.HANG),
    ],
)
async def test_what_is_no_body_is_refused(ending: tuple[bytes, ...]) -> None:
    async with serving(head(), piece(b"half"), *ending) as (_, client):
        with pytest.raises(ProtocolError):
            await ask(client)


@pytest.mark.parametrize("script", [(Then.HANG,), (head(), Then.HANG)])
async def test_a_silent_server_is_given_up(script: tuple[bytes, ...]) -> None:
    async with serving(*script, silence_timeout=0.1) as (stub, client):
        with pytest.raises(ReadTimeout):
            await ask(client)
        while not stub.clients_gone:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("seconds", [None, 0.1])
async def test_a_body_without_length_does_not_end_with_a_timeout(
    seconds: float | None,
) -> None:
    script = (b"HTTP/1.1 200 -\r\n\r\nhalf", Then.HANG)
    async with serving(*script, silence_timeout=0.2) as (_, client):
        with pytest.raises(ReadTimeout):
            async with client.send("GET", "/", seconds=seconds) as response:
                await body_of(response)


async def test_a_server_that_goes_on_is_not_given_up() -> None:
    words = [each for word in (b"a", b"b", b"c") for each in (0.1, piece(word))]
    async with serving(head(), *words, END, silence_timeout=0.2) as (_, client):
        assert await ask(client) == b"abc"


async def test_a_whole_response_may_be_given_a_time() -> None:
    words = [each for _ in range(50) for each in (0.02, piece(b"word "))]
    async with serving(head(), *words, END) as (_, client):
        with pytest.raises(ReadTimeout):
            async with client.send("GET", "/", seconds=0.2) as response:
                await body_of(response)


async def test_whoever_does_not_read_makes_the_server_wait_and_not_late() -> None:
    many = [piece(b"x" * 100_000)] * 200
    async with (
        serving(head(), *many, END, silence_timeout=0.1) as (_, client),
        client.send("GET", "/") as response,
    ):
        await asyncio.sleep(0.3)
        first = await response.read() or b""
        assert len(first) < 2_000_000
        assert len(await body_of(response)) + len(first) == 20_000_000


async def test_small_pieces_that_nobody_reads_take_little_memory() -> None:
    many = piece(b"ab") * 300_000
    async with (
        serving(head(), many, END) as (_, client),
        client.send("GET", "/") as response,
    ):
        connection = response._connection
        assert connection is not None
        await until(lambda: connection._is_paused)
        assert len(connection._unread) < 50_000  # what is read from the socket at once
        assert len(await body_of(response)) == 600_000


async def test_leaving_hangs_up() -> None:
    async with serving(head(), piece(b"a"), Then.HANG) as (stub, client):
        async with client.send("GET", "/") as response:
            await response.read()
        while not stub.clients_gone:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0.002)


async def test_a_request_that_is_canceled_hangs_up() -> None:
    async with serving(Then.HANG) as (stub, client):
        asking = asyncio.create_task(ask(client))
        while not stub.heard:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0.002)
        asking.cancel()
        while not stub.clients_gone:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0.002)

    assert (await asyncio.gather(asking, return_exceptions=True))[0] is not None


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "schön", "\0"])
async def test_a_header_cannot_smuggle_another_one_in(value: str) -> None:
    async with serving(OK) as (stub, client):
        with pytest.raises(HttpError, match="x-key"):
            client.send("GET", "/", headers={"x-key": value})

    assert stub.heard == []


@pytest.mark.parametrize(
    ("path", "heard"),
    [
        ("/a%20b?c=d&e", "/v1/a%20b?c=d&e"),
        ("/a b\r\nx: y", "/v1/a%20b%0D%0Ax:%20y"),
        ("/schön", "/v1/sch%C3%B6n"),
        ("/\ud800", "/v1/?"),
        ("?a=b", "/v1?a=b"),
        ("/a#b", "/v1/a"),
    ],
)
async def test_a_path_stays_one_word(path: str, heard: str) -> None:
    async with serving(OK) as (stub, client):
        await ask(client, path)

    assert stub.heard[0].path == heard
