"""Replicate is busy, or down: nobody pesters it, and every prompt is answered later."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from llamakeep.storage import open_storage
from replicate_emulator import EmulatorSettings, open_emulator
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.emulator.driver import AT_ONCE
from tests.providers.replicating import Control
from tests.storage.gates import Gate as Cable
from tests.waiting import LONG_ENOUGH

FIVE = 5
"""How many creates in a row may fail."""
PAUSE = 0.3
"""For how many seconds there are none then."""


@pytest.fixture
async def replicate() -> AsyncIterator[Control]:
    opened = open_emulator(EmulatorSettings.model_validate(AT_ONCE))
    control = Control(await asyncio.to_thread(opened.__enter__))
    try:
        yield control
    finally:
        await control.http.aclose()
        await asyncio.to_thread(opened.__exit__, None, None, None)


@pytest.fixture
def new_node(new_server: NewServer, replicate: Control) -> Callable[..., ServerProcess]:
    """Makes servers that ask the emulator."""

    def new(**settings: Any) -> ServerProcess:
        ours = {
            "replicate_api_token": "r8_emulated",
            "replicate_base_url": replicate.origin,
            "settle_time": 0.2,
            "breaker_pause": PAUSE,
        }
        return new_server(is_real=True, settings=ours | settings)

    return new


async def begin(server: ServerProcess, prompt: str) -> str:
    body = {"prompt": prompt, "background": True}
    answer = await server.client.post("/prompt/", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def until_queued(server: ServerProcess, *run_ids: str) -> None:
    """Return when all of these runs, which were being worked on, wait."""
    async with asyncio.timeout(LONG_ENOUGH):
        for run_id in run_ids:
            while (await server.run(run_id))["status"] != "queued":  # noqa: ASYNC110 - another process says when
                await asyncio.sleep(0.01)


async def until_refused(replicate: Control, creates: int = 1) -> None:
    """Return when so many creates have come."""
    async with asyncio.timeout(LONG_ENOUGH):
        while (await replicate.requests()).get("create", 0) < creates:  # noqa: ASYNC110 - another process says when
            await asyncio.sleep(0.01)


async def ends(server: ServerProcess, *run_ids: str) -> list[tuple[str, str]]:
    runs = [await server.ended_run(run_id) for run_id in run_ids]
    return [(run["status"], run["response"]) for run in runs]


async def created(replicate: Control) -> list[float]:
    """Return when predictions were created, by this machine's clock."""
    return [each["monotonic"]["created"] for each in await replicate.predictions()]


async def test_prompts_that_replicate_wants_to_hear_later_are_all_answered(
    new_node: Callable[..., ServerProcess], replicate: Control
) -> None:
    await replicate.rule(status=429, retry_after=1, times=3)
    prompts = [f"prompt {number}" for number in range(6)]
    server = new_node()
    await server.start()
    began = time.monotonic()

    answers = await asyncio.gather(
        *(server.client.post("/prompt/", json={"prompt": each}) for each in prompts[:2])
    )
    run_ids = [await begin(server, each) for each in prompts[2:]]

    assert [answer.json()["response"] for answer in answers] == prompts[:2]
    assert await ends(server, *run_ids) == [("succeeded", each) for each in prompts[2:]]
    assert min(await created(replicate)) > began + 1
    assert (await replicate.requests())["create"] == len(prompts) + 3


async def test_what_one_server_was_told_stops_the_other_one(
    new_node: Callable[..., ServerProcess], replicate: Control, postgres_url: str
) -> None:
    async with open_storage(postgres_url, migrate=True):
        pass
    await replicate.rule(status=429, retry_after=2)
    here, there = (new_node(database_url=postgres_url) for _ in range(2))
    await here.start()
    await here.client.get("/healthz")
    await there.start()
    await there.client.get("/healthz")
    began = time.monotonic()
    first = await begin(here, "first")
    await until_queued(here, first)
    await asyncio.sleep(0.5)  # some beats of its heart

    second = await begin(there, "second")

    assert await ends(there, second, first) == [
        ("succeeded", "second"),
        ("succeeded", "first"),
    ]
    assert min(await created(replicate)) > began + 2
    assert (await replicate.requests())["create"] == 3


async def test_a_server_that_is_killed_while_prompts_wait_does_not_look_for_them(
    new_node: Callable[..., ServerProcess], replicate: Control
) -> None:
    await replicate.rule(status=429, retry_after=1)
    server = new_node()
    await server.start()
    began = time.monotonic()
    run_id = await begin(server, "again")
    await until_queued(server, run_id)

    await server.restart()

    assert await ends(server, run_id) == [("succeeded", "again")]
    assert min(await created(replicate)) > began + 1
    requests = await replicate.requests()
    assert (requests["create"], requests.get("list", 0)) == (2, 0)


async def test_while_replicate_fails_prompts_are_kept_and_answered_when_it_is_back(
    new_node: Callable[..., ServerProcess], replicate: Control
) -> None:
    await replicate.rule(status=503, times=None)
    server = new_node()
    await server.start()
    prompts = [f"prompt {number}" for number in range(4 * FIVE)]
    began = time.monotonic()
    run_ids = [await begin(server, each) for each in prompts[:FIVE]]
    await until_refused(replicate, FIVE)
    run_ids += [await begin(server, each) for each in prompts[FIVE:]]
    await until_queued(server, *run_ids)
    await asyncio.sleep(1)
    creates = (await replicate.requests())["create"]
    pauses = (time.monotonic() - began) / PAUSE

    (await replicate.http.delete("/_emulator/rules")).raise_for_status()

    assert await ends(server, *run_ids) == [("succeeded", each) for each in prompts]
    assert creates <= FIVE + 1 + pauses  # one after each
    assert len(await replicate.predictions()) == len(prompts)


async def test_while_replicate_is_out_of_reach_prompts_wait_too(
    new_node: Callable[..., ServerProcess], replicate: Control
) -> None:
    cable = Cable(replicate.origin)
    await cable.open()
    await cable.shut()
    server = new_node(replicate_base_url=f"http://127.0.0.1:{cable.port}")
    await server.start()
    for _ in range(FIVE - 1):
        answer = await server.client.post("/prompt/", json={"prompt": "Hello?"})
        assert answer.json()["type"] == "urn:llamakeep:problem:provider-unavailable"
    prompts = [f"prompt {number}" for number in range(FIVE)]
    run_ids = [await begin(server, each) for each in prompts]
    await until_queued(server, *run_ids)

    await cable.open()

    try:
        assert await ends(server, *run_ids) == [("succeeded", each) for each in prompts]
        assert (await replicate.requests())["create"] == len(prompts)
    finally:
        await server.stop()
        await cable.shut()
