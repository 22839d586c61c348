"""Clients of OpenAI's API that go away, and what becomes of their runs."""

import asyncio
import json
import signal
from typing import Any

import pytest

from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.waiting import LONG_ENOUGH

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "Tell me a story"}]}
ENDLESS = {"words": 100_000, "pause": 0.005}


async def send(
    server: ServerProcess, body: dict[str, Any], *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request, and leave the connection to the test."""
    url = server.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    content = json.dumps(body).encode()
    head = [
        f"POST {CHAT} HTTP/1.1",
        f"Host: {url.host}",
        "Authorization: Bearer token_alice",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *headers,
    ]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + content)
    await writer.drain()
    return reader, writer


async def only_run(server: ServerProcess, *statuses: str) -> dict[str, Any]:
    """Wait until there is a run with one of these statuses, and return it."""
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            runs = [*(await server.history()).values()]
            assert len(runs) <= 1
            if runs and runs[0]["status"] in statuses:
                return runs[0]
            await asyncio.sleep(0.02)


async def log(server: ServerProcess) -> str:
    return await asyncio.to_thread(server.log.read_text)


async def test_who_closes_a_stream_stops_the_run_and_its_text_so_far_is_kept(
    new_server: NewServer,
) -> None:
    server = new_server(**ENDLESS)
    await server.start()
    reader, writer = await send(server, BODY | {"stream": True})
    for _ in range(5):
        await reader.readuntil(b'"content":"\xc3\xa9')

    writer.close()

    run = await only_run(server, "canceled")
    assert 3 <= run["response"].count(" ") < 1000
    assert run["error"]["type"] == "run-canceled"
    assert await log(server) == ""


async def test_who_hangs_up_while_waiting_stops_the_run_and_its_text_is_kept(
    new_server: NewServer,
) -> None:
    server = new_server(**ENDLESS)
    await server.start()
    _, writer = await send(server, BODY)
    await only_run(server, "processing")

    writer.close()

    run = await only_run(server, "canceled")
    assert run["response"]
    assert await log(server) == ""


async def test_whenever_somebody_hangs_up_no_run_goes_on(
    new_server: NewServer,
) -> None:
    server = new_server(**ENDLESS)
    await server.start()

    for number in range(24):
        _, writer = await send(server, BODY | {"stream": number % 2 == 0})
        await asyncio.sleep(number / 1000)
        writer.close()
        await writer.wait_closed()

    statuses: set[str] = set()
    async with asyncio.timeout(LONG_ENOUGH):
        while statuses != {"canceled"}:
            await asyncio.sleep(0.02)
            statuses = {run["status"] for run in (await server.history()).values()}
    assert await log(server) == ""


@pytest.mark.parametrize("body", [BODY, BODY | {"stream": True}])
async def test_who_sent_a_key_finds_the_answer_when_it_comes_back(
    new_server: NewServer, body: dict[str, Any]
) -> None:
    server = new_server(words=30, pause=0.05)
    await server.start()
    key = {"Idempotency-Key": "k"}
    _, writer = await send(server, body, "Idempotency-Key: k")
    await only_run(server, "processing")

    writer.close()

    again = await server.client.post(CHAT, json=BODY, headers=key)
    run = await only_run(server, "succeeded")
    assert again.json()["choices"][0]["message"]["content"] == run["response"]
    assert run["response"].count(" ") == 30
    assert await log(server) == ""


async def test_a_client_that_stays_is_answered_on_a_connection_it_keeps(
    new_server: NewServer,
) -> None:
    server = new_server(words=3)
    await server.start()
    reader, writer = await send(server, BODY)
    await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"}}")

    content = json.dumps(BODY).encode()
    writer.write(
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n"
        "Authorization: Bearer token_alice\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"}}")
    writer.close()

    assert head.startswith(b"HTTP/1.1 200 ")
    runs = (await server.history()).values()
    assert [run["status"] for run in runs] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("body", [BODY, BODY | {"stream": True}])
async def test_a_server_that_stops_takes_nobodys_leaving_for_a_cancel(
    new_server: NewServer, body: dict[str, Any]
) -> None:
    server = new_server(words=150, pause=0.01)
    await server.start()
    reader, writer = await send(server, body)
    await only_run(server, "processing")

    await server.stop(signal.SIGTERM)
    told = await reader.read()
    writer.close()
    await server.start()

    assert b"server_stopping" in told
    assert (await only_run(server, "succeeded"))["response"].count(" ") == 150
