"""No more connections than were allowed; the others wait, the first one first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from llamakeep.errors import ProviderUnavailable
from llamakeep.http import Client, ConnectError, PoolTimeout
from llamakeep.providers.http import most_connections, translated_errors
from llamakeep.settings import Settings
from tests.http.asking import OK, ask
from tests.providers.stub_server import Line, StubServer, Then, running_stub
from tests.waiting import LONG_ENOUGH, until


@asynccontextmanager
async def limited(
    most: int, *script: Line, seconds: float = LONG_ENOUGH
) -> AsyncIterator[tuple[StubServer, Client]]:
    async with running_stub(*script) as stub:
        client = Client(
            stub.base_url,
            connect_timeout=seconds,
            silence_timeout=LONG_ENOUGH,
            most_connections=most,
        )
        try:
            yield stub, client
        finally:
            await client.close()


async def test_no_more_connections_are_open_than_may_be() -> None:
    async with limited(3, 0.01, OK) as (stub, client):
        await asyncio.gather(*(ask(client) for _ in range(20)))

    assert (stub.connections, len(stub.heard)) == (3, 20)


async def test_requests_that_wait_are_sent_in_their_order() -> None:
    goes_on = asyncio.Event()
    async with limited(1, goes_on, OK) as (stub, client):
        asking = [asyncio.create_task(ask(client, f"/{i}")) for i in range(9)]
        await until(lambda: stub.heard)
        goes_on.set()
        await asyncio.gather(*asking)

    assert [each.path for each in stub.heard] == [f"/v1/{i}" for i in range(9)]


async def test_a_request_that_comes_later_does_not_overtake() -> None:
    goes_on = asyncio.Event()
    async with limited(1, goes_on, OK) as (stub, client):
        asking = [asyncio.create_task(ask(client, path)) for path in ("/1", "/2")]
        await until(lambda: stub.heard)
        goes_on.set()
        await asking[0]  # its connection is promised to the second
        await ask(client, "/3")

    assert [each.path for each in stub.heard] == ["/v1/1", "/v1/2", "/v1/3"]


async def test_a_request_that_waits_too_long_was_not_sent() -> None:
    async with limited(1, Then.HANG, seconds=0.05) as (stub, client):
        hanging = asyncio.create_task(ask(client))
        await until(lambda: stub.heard)
        with pytest.raises(PoolTimeout) as waited:
            await ask(client)
        hanging.cancel()
        await asyncio.wait([hanging])
        stub.script = (OK,)
        assert await ask(client) == b"{}"

    assert isinstance(waited.value, ConnectError), "nothing of it can have arrived"
    assert len(stub.heard) == 2


async def test_waiting_is_part_of_the_time_that_a_request_has() -> None:
    async with limited(1, Then.HANG) as (stub, client):
        hanging = asyncio.create_task(ask(client))
        await until(lambda: stub.heard)
        with pytest.raises(PoolTimeout):
            async with client.send("GET", "/", seconds=0.02):
                pass
        hanging.cancel()
        await asyncio.wait([hanging])


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_a_request_that_is_canceled_keeps_no_connection(steps: int) -> None:
    async with limited(1, OK) as (stub, client):
        for _ in range(3):
            asking = [asyncio.create_task(ask(client)) for _ in range(4)]
            for _ in range(steps):
                await asyncio.sleep(0)
            for each in asking[::2]:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        assert await ask(client) == b"{}"

    assert stub.open_now <= 1


@pytest.mark.parametrize("script", [(Then.RESET,), (b"no HTTP\r\n\r\n",)])
async def test_a_request_that_fails_keeps_no_connection(script: tuple[Line]) -> None:
    async with limited(1, *script) as (stub, client):
        await asyncio.gather(*(ask(client) for _ in range(5)), return_exceptions=True)
        stub.script = (OK,)
        assert await ask(client) == b"{}"


async def test_a_server_that_cannot_be_reached_keeps_no_connection() -> None:
    client = Client(
        "http://127.0.0.1:1",
        connect_timeout=LONG_ENOUGH,
        silence_timeout=1,
        most_connections=1,
    )
    for _ in range(3):
        with pytest.raises(ConnectError) as failed:
            await ask(client)
        assert not isinstance(failed.value, PoolTimeout)


def test_a_prompt_without_a_free_connection_says_nothing_about_the_provider() -> None:
    with pytest.raises(ProviderUnavailable, match="was not asked") as failed:  # noqa: SIM117
        with translated_errors("The server"):
            raise PoolTimeout("All connections are in use.")

    assert not failed.value.was_tried
    assert not failed.value.was_connected
    assert not failed.value.answer_may_exist


@pytest.mark.parametrize("running", [1, 512, 5000])
def test_no_run_waits_for_a_connection(running: int) -> None:
    settings = Settings(max_running=running)

    assert most_connections(settings) > 2 * running
