import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from llamakeep.http import ConnectError
from tests.http.asking import OK, ask, client_of
from tests.providers.stub_server import running_stub
from tests.waiting import LONG_ENOUGH

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def tunnelling(
    port: int, *, answer: bytes = b"HTTP/1.1 200 Go on\r\nvia: us\r\n\r\n"
) -> AsyncIterator[tuple[str, list[str]]]:
    """
    A proxy that leads every tunnel to `port` on this machine.

    Without a port it hangs up, or says nothing more, if that is negative.
    """
    heads: list[str] = []
    ways: set[asyncio.Task[None]] = set()

    async def carry(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                to.write(data)
                await to.drain()
        except ConnectionError:
            pass
        finally:
            to.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        if port <= 0:
            ways.add(asyncio.create_task(carry(reader, writer)))
            if port == 0:
                writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ways.add(asyncio.create_task(carry(reader, back)))
        ways.add(asyncio.create_task(carry(there, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    server.close()
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)


@pytest.mark.slow
async def test_a_proxy_is_told_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_stub(OK) as stub:
        proxy = stub.base_url.removesuffix("/v1").replace("//", "//me:secret@")
        monkeypatch.setenv("http_proxy", proxy)
        async with client_of("http://server.example/v1") as client:
            assert await ask(client, "/models") == b"{}"

    heard = stub.heard[0]
    assert heard.path == "http://server.example/v1/models"
    assert heard.headers["host"] == "server.example"
    assert heard.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


async def test_a_proxy_only_carries_what_is_encrypted(
    trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        running_stub(OK, tls=trusted) as stub,
        tunnelling(stub.port) as (proxy, heads),
    ):
        monkeypatch.setenv("https_proxy", f"http://me:secret@{proxy}")
        async with client_of("https://server.example/v1") as client:
            for _ in range(2):
                assert await ask(client, "/models") == b"{}"
        async with client_of("https://other.example/v1") as client:
            with pytest.raises(ConnectError, match="certificate"):
                await ask(client)

    assert [each.path for each in stub.heard] == ["/v1/models"] * 2
    assert heads[0].startswith("CONNECT server.example:443 HTTP/1.1\r\n")
    assert "proxy-authorization: Basic bWU6c2VjcmV0\r\n" in heads[0]
    assert "proxy-authorization" not in stub.heard[0].headers


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 No\r\n\r\n",
        b"HTTP/1.1 407 -\r\ncontent-length: 4\r\n\r\nWho?",
        b"HTTP/1.1 200 -\r\ncontent-length: 4\r\n\r\nHere",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"x" * 20_000,
    ],
)
async def test_a_proxy_that_refuses_is_no_way(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    async with tunnelling(-1, answer=answer) as (proxy, _):
        monkeypatch.setenv("all_proxy", proxy)
        async with client_of("https://server.example") as client:
            with pytest.raises(ConnectError, match="proxy"):
                await ask(client)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 -\r\n\r\n"])
async def test_a_proxy_that_hangs_up_before_anything_was_said_is_no_way(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    async with tunnelling(0, answer=answer) as (proxy, _):
        monkeypatch.setenv("all_proxy", proxy)
        async with client_of("https://server.example") as client:
            for _ in range(3):
                with pytest.raises(ConnectError):
                    async with asyncio.timeout(LONG_ENOUGH):
                        await ask(client)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://", "x:y:z"])
async def test_a_proxy_that_cannot_be_used_is_said(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    async with client_of("http://server.example") as client:
        with pytest.raises(ConnectError, match="proxy"):
            await ask(client)


@pytest.mark.parametrize("exception", ["*", ".example", "server.example:80"])
async def test_what_is_excepted_is_reached_without_proxy(
    monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    async with running_stub(OK) as stub:
        monkeypatch.setenv("http_proxy", stub.base_url)
        monkeypatch.setenv("no_proxy", exception)
        async with client_of("http://server.example", connect_timeout=2) as client:
            with pytest.raises(ConnectError):
                await ask(client)

    assert stub.heard == []


async def test_this_computer_is_reached_without_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with running_stub(OK) as stub, client_of(stub.base_url) as client:
        assert await ask(client) == b"{}"
