"""Webhooks outlive the servers that were to send them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.storage import open_storage
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.receiving import Receiver, open_receiver
from tests.waiting import LONG_ENOUGH, until

SETTINGS: dict[str, Any] = {
    "webhooks": True,
    "webhook_networks": ["127.0.0.0/8"],
    "lease": 1.5,
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as receiver:
        yield receiver


async def begin(server: ServerProcess, receiver: Receiver) -> str:
    body = {"prompt": "Hi", "background": True, "webhook": receiver.url}
    response = await server.client.post("/prompt/", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def state(server: ServerProcess, run_id: str) -> tuple[str, int]:
    """Return how far a webhook is, once it is not on its way any more."""
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            webhook = (await server.run(run_id))["webhook"]
            if webhook["status"] != "waiting":
                return webhook["status"], webhook["tries"]
            await asyncio.sleep(0.05)


async def test_a_kill_between_the_end_and_its_webhook_does_not_lose_it(
    new_server: NewServer, receiver: Receiver
) -> None:
    receiver.answers = (asyncio.Event(), 200)
    server = new_server(settings=SETTINGS | {"lease": 3})
    await server.start()
    run_id = await begin(server, receiver)
    [first] = await receiver.wait_for(1)  # it is not told that this one arrived

    await server.restart()

    [_, second] = await receiver.wait_for(2)
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert second.body == first.body
    assert second.body["data"]["id"] == run_id
    assert await state(server, run_id) == ("delivered", 2)


@pytest.mark.parametrize(
    ("is_free", "told"), [(True, "run.succeeded"), (False, "run.interrupted")]
)
async def test_a_kill_during_a_run_does_not_lose_its_webhook(
    new_server: NewServer, receiver: Receiver, is_free: bool, told: str
) -> None:
    server = new_server(settings=SETTINGS, words=60_000, pause=0.01, is_free=is_free)
    await server.start()
    run_id = await begin(server, receiver)

    async def is_asked_for() -> bool:
        return bool((await server.run(run_id))["status"] == "processing")

    await until(is_asked_for)
    assert receiver.received == []

    server.order.words = 5
    await server.restart()

    [one] = await receiver.wait_for(1)
    assert one.body["type"] == told
    assert one.body["data"]["id"] == run_id
    assert await state(server, run_id) == ("delivered", 1)


async def test_another_server_sends_what_a_dead_one_was_to_send(
    new_server: NewServer, receiver: Receiver, postgres_url: str
) -> None:
    async with open_storage(postgres_url, migrate=True):
        pass
    settings = SETTINGS | {"database_url": postgres_url}
    dying = new_server(settings=settings, words=1000, pause=0.05, is_free=False)
    other = new_server(settings=settings, is_free=False)
    await dying.start()
    await other.start()
    run_id = await begin(dying, receiver)

    await dying.stop()

    [one] = await receiver.wait_for(1)
    assert (one.body["type"], one.body["data"]["id"]) == ("run.interrupted", run_id)
    assert await state(other, run_id) == ("delivered", 1)


async def test_a_server_that_stops_does_not_wait_for_a_dead_receiver(
    new_server: NewServer, receiver: Receiver
) -> None:
    receiver.answers = (asyncio.Event(),)
    server = new_server(settings=SETTINGS | {"lease": 30})
    await server.start()
    await begin(server, receiver)
    await receiver.wait_for(1)

    async with asyncio.timeout(8):
        assert await server.stop(signal.SIGTERM) == 0
