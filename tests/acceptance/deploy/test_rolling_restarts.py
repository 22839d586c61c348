"""Restarts under load: no request fails."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from llamakeep.storage import open_storage
from tests.acceptance.conftest import NewServer
from tests.acceptance.proxies import in_front
from tests.waiting import LONG_ENOUGH, until

CLIENTS = 6


@asynccontextmanager
async def load(url: str) -> AsyncIterator[tuple[list[int], list[str]]]:
    """Have prompts answered all the time; give how long answers are, and failures."""
    words: list[int] = []
    failures: list[str] = []
    stop = asyncio.Event()

    async def ask(client: httpx2.AsyncClient, *, is_stream: bool) -> None:
        while not stop.is_set():
            body = {"prompt": "Hi", "stream": is_stream}
            try:
                answer = await client.post("/prompt/", json=body)
            except httpx2.TransportError as error:
                failures.append(repr(error))
                continue
            is_whole = "event: done" in answer.text or not is_stream
            if answer.status_code != 200 or not is_whole:
                failures.append(f"{answer.status_code} {answer.text}")
            elif not is_stream:
                words.append(answer.json()["response"].count(" "))

    async with (
        httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": "Bearer token_alice"},
            timeout=LONG_ENOUGH,
            trust_env=False,
            verify=False,
        ) as client,
        asyncio.TaskGroup() as clients,
    ):
        for number in range(CLIENTS):
            clients.create_task(ask(client, is_stream=number % 2 == 0))
        yield words, failures
        stop.set()


async def answered(words: list[int], lengths: set[int]) -> None:
    """Wait until there are new answers of these lengths."""
    seen = len(words)
    await until(lambda: lengths <= set(words[seen:]))


async def test_no_request_fails_while_two_nodes_behind_a_proxy_are_restarted(
    new_server: NewServer, postgres_url: str, tmp_path: Path
) -> None:
    async with open_storage(postgres_url, migrate=True):
        pass
    settings = {
        "database_url": postgres_url,
        # Three looks of the proxy, each a second after the other, and some more.
        "drain_seconds": 6,
        "shutdown_grace": LONG_ENOUGH,
    }
    nodes = {length: new_server(words=length, settings=settings) for length in (3, 4)}
    for node in nodes.values():
        await node.start()
        node.leave_socket()
        await node.client.get("/healthz")
    ports = [int(node.client.base_url.port or 0) for node in nodes.values()]

    statuses = []
    async with (
        in_front("haproxy", ports, tmp_path) as port,
        load(f"https://127.0.0.1:{port}") as (words, failures),
    ):
        await answered(words, {*nodes})
        for node in nodes.values():
            statuses.append(await node.stop(signal.SIGTERM))
            node.listen_again()
            await node.start()
            node.leave_socket()
            await answered(words, {*nodes})

    assert failures == []
    assert statuses == [0, 0]


async def test_no_request_fails_while_a_server_whose_socket_is_kept_is_restarted(
    new_server: NewServer,
) -> None:
    settings = {"drain_seconds": 0.5, "shutdown_grace": LONG_ENOUGH}
    server = new_server(settings=settings, is_kept=True)
    await server.start()

    statuses = []
    async with load(str(server.client.base_url)) as (words, failures):
        await answered(words, {5})
        for _ in range(2):
            statuses.append(await server.stop(signal.SIGTERM))
            await server.start()
            await answered(words, {5})

    assert failures == []
    assert statuses == [0, 0]
