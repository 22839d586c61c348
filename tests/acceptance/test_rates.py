"""Several server processes that count together."""

import asyncio
from collections import Counter

import httpx2

from llamakeep.storage import open_storage
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.valkey import ValkeyServer
from tests.waiting import LONG_ENOUGH


async def login(server: ServerProcess) -> httpx2.Response:
    wanted = {"username": "alice", "password": "secret1"}
    return await server.client.post("/login/", json=wanted)


def counted(answers: list[httpx2.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def test_two_servers_let_through_exactly_what_one_would(
    new_server: NewServer, postgres_url: str, valkey_server: ValkeyServer
) -> None:
    async with open_storage(postgres_url, migrate=True):
        pass
    wanted = {"rate_limit": "80/hour", "valkey_url": valkey_server.url}
    servers = [
        new_server(settings=wanted | {"database_url": postgres_url}) for _ in range(2)
    ]
    for server in servers:
        await server.start()

    answers = await asyncio.gather(
        *(server.client.get("/me/") for _ in range(100) for server in servers)
    )

    assert counted(answers) == {200: 80, 429: 120}
    # None was told that there was more left than there was.
    left = [a.headers["ratelimit"] for a in answers if a.status_code == 200]
    assert len({each.split(";")[1] for each in left}) == 80


async def test_servers_go_on_without_valkey_and_count_together_when_it_is_back(
    new_server: NewServer, valkey_server: ValkeyServer
) -> None:
    rates = {"rate_limit": "500/hour", "login_rate_limit": "500/hour"}
    server = new_server(settings=rates | {"valkey_url": valkey_server.url})
    await server.start()
    assert (await login(server)).status_code == 200

    await asyncio.to_thread(valkey_server.stop)
    prompt = await server.client.post("/prompt/", json={"prompt": "Why?"})
    refused = await login(server)
    await asyncio.to_thread(valkey_server.start)

    assert prompt.status_code == 200
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    await until_logged_in(server)
    said = await asyncio.to_thread(server.log.read_text)
    assert said.count("Valkey does not answer") == 1
    assert said.count("Valkey answers again") == 1


async def until_logged_in(server: ServerProcess) -> None:
    async with asyncio.timeout(LONG_ENOUGH):
        while (await login(server)).status_code != 200:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.1)
