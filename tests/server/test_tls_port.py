"""What strangers can do at the port that is for nodes on other machines."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from llamakeep.nodes.certificates import trusting
from llamakeep.nodes.listening import Listening
from llamakeep.server import tls_port as ports
from llamakeep.server.connections import BoundedProtocol, close_overdue
from tests.nodes.ports import BOUNDS, listening, tls_port
from tests.server.echoing import echo
from tests.waiting import until

__all__ = ["listening"]

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@asynccontextmanager
async def connected(
    listening: Listening, *, is_secure: bool = True
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    assert listening.far is not None
    context = trusting(listening.contact.certificate or "")
    reader, writer = await asyncio.open_connection(
        *listening.far.getsockname(),
        ssl=context if is_secure else None,
        server_hostname="" if is_secure else None,
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


@contextmanager
def quiet() -> Iterator[None]:
    """Have nothing fail behind the back of this test."""
    failures: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    yield
    assert failures == []


@pytest.mark.parametrize("data", [REQUEST, b"\x16\x03\x01" + bytes(64), b""])
async def test_who_does_not_speak_tls_is_hung_up_on(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(ports, "LONGEST_HANDSHAKE", 0.2)
    with quiet():
        async with tls_port(listening, echo) as state:
            async with connected(listening, is_secure=False) as (reader, writer):
                writer.write(data)
                assert b"HTTP" not in await rest(reader)
            assert not state.connections


async def test_of_more_strangers_than_there_may_be_the_last_ones_wait(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "MOST_STRANGERS", 2)
    async with tls_port(listening, echo) as state:
        async with connected(listening), connected(listening, is_secure=False):
            waiting = asyncio.create_task(ask(listening))
            await asyncio.sleep(0.1)
            assert len(state.connections) == 1
            assert not waiting.done()

        assert (await waiting).startswith(b"HTTP/1.1 200 ")
        # Those who failed and those who left have all made room.
        for _ in range(5):
            assert (await ask(listening)).startswith(b"HTTP/1.1 200 ")


async def test_those_whom_the_application_knows_are_no_strangers(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "MOST_STRANGERS", 1)

    async def knowing(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["known"]()
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"!", "more_body": True})
        await receive()  # until it is disconnected

    async with tls_port(listening, knowing) as state, AsyncExitStack() as stack:
        for _ in range(5):
            reader, writer = await stack.enter_async_context(connected(listening))
            writer.write(REQUEST)
            assert await reader.readuntil(b"!")
        assert len(state.connections) == 5


async def ask(listening: Listening) -> bytes:
    async with connected(listening) as (reader, writer):
        writer.write(REQUEST)
        return await reader.read(1000)


async def test_a_request_that_never_ends_is_given_up(listening: Listening) -> None:
    impatient = replace(BOUNDS, header_timeout=0.05)
    async with tls_port(listening, echo, bounds=impatient) as state:
        async with connected(listening) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n")
            closing = asyncio.create_task(keep_time(state))
            assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")
            closing.cancel()
        await until(lambda: not state.connections)


async def keep_time(state: ServerState) -> None:
    """Do what the server does once a second."""
    while True:
        await asyncio.sleep(0.05)
        close_overdue(state.connections, asyncio.get_running_loop().time())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 100_000, b"431"),
        (b"\r\nnonsense\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(
    listening: Listening, sent: bytes, status: bytes
) -> None:
    with quiet():
        async with tls_port(listening, echo) as state:
            async with connected(listening) as (reader, writer):
                writer.write(sent)
                assert (await rest(reader)).startswith(b"HTTP/1.1 " + status)
            await until(lambda: not state.connections)


@pytest.mark.parametrize("sent", [REQUEST, b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000])
async def test_a_connection_that_is_over_does_not_wait_for_the_garbage_collector(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    made: list[weakref.ref[BoundedProtocol]] = []

    class Watched(ports._Protocol):
        def connection_made(self, transport: object) -> None:
            made.append(weakref.ref(self))
            super().connection_made(transport)

    monkeypatch.setattr(ports, "_Protocol", Watched)
    gc.disable()
    try:
        async with tls_port(listening, echo) as state:
            async with connected(listening) as (reader, writer):
                writer.write(sent)
                await reader.read(1)
            await until(lambda: not state.connections)
            await until(lambda: made[0]() is None)
    finally:
        gc.enable()


async def test_nothing_older_than_tls_1_3_is_spoken(listening: Listening) -> None:
    assert listening.far is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    where = listening.far.getsockname()
    async with tls_port(listening, echo):
        _, writer = await asyncio.open_connection(
            *where, ssl=context, server_hostname=""
        )
        writer.transport.abort()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(*where, ssl=context, server_hostname="")
