import asyncio
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest

from llamakeep.http import Client, ConnectError, ConnectionLost, connecting, pool
from tests.certificates import context_of
from tests.http.asking import OK, ask, body_of, client_of, serving
from tests.providers.stub_server import END, Then, head, piece, running_stub, whole
from tests.waiting import LONG_ENOUGH


async def test_a_connection_is_used_again() -> None:
    async with serving(OK) as (stub, client):
        for _ in range(3):
            await ask(client)

    assert (stub.connections, len(stub.heard)) == (1, 3)


async def test_requests_at_once_have_a_connection_each() -> None:
    async with serving(0.05, OK) as (stub, client):
        await asyncio.gather(*(ask(client) for _ in range(3)))

    assert stub.connections == 3


@pytest.mark.parametrize(
    "script",
    [
        (whole(200, {}, connection="close"),),
        (OK, OK),  # a second response, to nothing
        (OK, b"HTTP/1.1"),
        (b"HTTP/1.0 200 -\r\ncontent-length: 2\r\n\r\n{}",),
    ],
)
async def test_a_connection_that_is_not_clean_is_not_used_again(
    script: tuple[bytes, ...],
) -> None:
    async with serving(b"".join(script)) as (stub, client):
        for _ in range(3):
            assert await ask(client) == b"{}"

    assert stub.connections == 3


async def test_what_comes_when_nothing_was_asked_closes_the_connection() -> None:
    async with serving(OK, 0.05, OK, Then.HANG) as (stub, client):
        await ask(client)
        while not stub.clients_gone:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0.002)
        assert await ask(client) == b"{}"

    assert stub.connections == 2


async def test_a_response_that_was_not_read_to_its_end_does_not_spoil_the_next() -> (
    None
):
    async with serving(head(), piece(b"one"), 0.05, piece(b"two"), END) as (
        stub,
        client,
    ):
        async with client.send("GET", "/") as response:
            assert await response.read() == b"one"
        assert await ask(client) == b"onetwo"

    assert stub.connections == 2


async def test_an_answer_that_nobody_read_does_not_stop_the_next_one() -> None:
    async with serving(whole(200, b"x" * 500_000)) as (stub, client):
        async with client.send("GET", "/") as response:
            await asyncio.sleep(0.1)  # more has come than may wait
        assert response.status == 200
        assert len(await ask(client)) == 500_000

    assert stub.connections == 2


async def test_a_response_that_was_left_cannot_read_anothers() -> None:
    async with serving(OK) as (_, client):
        async with client.send("GET", "/") as response:
            await body_of(response)
        async with client.send("GET", "/") as other:
            with pytest.raises(AssertionError):
                await response.read()
            assert await body_of(other) == b"{}"


@pytest.mark.parametrize("is_secure", [False, True])
async def test_connecting_may_be_canceled_at_any_moment(
    trusted: ssl.SSLContext, is_secure: bool
) -> None:
    async with (
        running_stub(OK, tls=trusted if is_secure else None) as stub,
        client_of(stub.base_url) as client,
    ):
        for steps in range(40):
            asking = asyncio.create_task(ask(client))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            await client.close()
            client._pool._is_closed = False
        async with asyncio.timeout(LONG_ENOUGH):
            while stub.open_now:  # noqa: ASYNC110 - it is a test
                await asyncio.sleep(0.01)


async def test_a_request_may_have_a_connection_for_itself() -> None:
    async with serving(OK) as (stub, client):
        await ask(client)
        async with client.send("GET", "/", keep_alive=False) as response:
            await body_of(response)
        await ask(client)

    assert stub.connections == 2
    assert [each.headers.get("connection") for each in stub.heard] == [
        None,
        "close",
        None,
    ]


async def test_a_connection_that_the_server_closed_is_not_used() -> None:
    async with serving(OK, 0.02, Then.CLOSE) as (stub, client):
        await ask(client)
        await asyncio.sleep(0.1)
        await ask(client)

    assert stub.connections == 2


async def test_a_lost_connection_is_never_taken_for_one_that_was_not_made() -> None:
    # Of what is sent on it, the server may have heard: it is not sent again.
    async with serving(OK, 0.01, Then.RESET) as (stub, client):
        await ask(client)
        stub.script = (Then.RESET,)
        with pytest.raises(ConnectionLost):
            await ask(client)

    assert len(stub.heard) <= 2


@pytest.mark.parametrize("later", [OK, None], ids=["answer", "end"])
async def test_what_came_while_the_event_loop_was_busy_is_no_answer(
    later: bytes | None,
) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with client_of(url) as client:

            async def accept() -> socket.socket:
                line, _ = await loop.sock_accept(listening)
                await loop.sock_recv(line, 1000)
                line.send(whole(200, b"yes"))
                return line

            line, body = await asyncio.gather(accept(), ask(client))
            assert body == b"yes"
            with line:
                if later is None:
                    line.shutdown(socket.SHUT_WR)
                else:
                    line.send(later)
                # The request is sent before the event loop looks at its sockets.
                asking = asyncio.create_task(ask(client))
                second, body = await asyncio.gather(accept(), asking)
            second.close()

    assert body == b"yes"


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LONGEST_IDLE", 0.1)
    async with serving(0.01, OK) as (stub, client):
        await asyncio.gather(*(ask(client) for _ in range(3)))
        async with asyncio.timeout(LONG_ENOUGH):
            while stub.open_now:  # noqa: ASYNC110 - it is a test
                await asyncio.sleep(0.01)

    assert stub.connections == 3


async def test_a_closed_client_asks_nobody() -> None:
    async with serving(OK) as (stub, client):
        await ask(client)
        await client.close()
        with pytest.raises(ConnectError):
            await ask(client)

    assert len(stub.heard) == 1


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid", "[::1]:1"])
async def test_a_server_that_is_not_there_heard_nothing(host: str) -> None:
    async with client_of(f"http://{host}") as client:
        with pytest.raises(ConnectError):
            await ask(client)


@pytest.mark.slow
async def test_a_server_that_accepts_nobody_is_given_up() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        async with client_of(f"http://127.0.0.1:{port}", connect_timeout=0.2) as client:
            asking = [asyncio.create_task(ask(client)) for _ in range(8)]
            done, waiting = await asyncio.wait(asking, timeout=2)
            for each in waiting:  # those whom the kernel accepted
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    assert done
    assert all(isinstance(each.exception(), ConnectError) for each in done)


async def test_names_and_passwords_in_a_url_are_sent_as_a_header() -> None:
    async with running_stub(OK) as stub:
        url = stub.base_url.replace("//", "//us%C3%A9r:p%40ss@")
        async with client_of(url) as client:
            await ask(client)

    heard = stub.heard[0].headers
    assert heard["authorization"] == "Basic dXPDqXI6cEBzcw=="
    assert "@" not in heard["host"]


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "127.0.0.1:80", "http:///x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"HTTP server|URL|port"):
        Client(url, connect_timeout=1, silence_timeout=1)


async def test_a_server_that_nobody_vouches_for_is_told_nothing(
    certificate: Path,
) -> None:
    context = await asyncio.to_thread(context_of, certificate)
    async with (
        running_stub(OK, tls=context) as stub,
        client_of(stub.base_url) as client,
    ):
        with pytest.raises(ConnectError, match="certificate"):
            await ask(client)

    assert stub.heard == []


async def test_a_server_has_to_prove_its_name(
    trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def here(*_: object) -> list[object]:
        return [ip_address("127.0.0.1")]

    monkeypatch.setattr(connecting, "look_up", here)
    async with running_stub(OK, tls=trusted) as stub:
        async with client_of(f"https://server.example:{stub.port}") as client:
            assert await ask(client) == b"{}"
            assert await ask(client) == b"{}"
        async with client_of(f"https://other.example:{stub.port}") as client:
            with pytest.raises(ConnectError, match="certificate"):
                await ask(client)

    assert len(stub.heard) == 2
