"""What only real sockets can show: when words arrive, and clients that go away."""

import asyncio
import random
from typing import Any

import httpx2

from tests.acceptance.conftest import NewServer
from tests.providers.stub_server import DONE, END, STOP, delta, head, running_stub

STREAM = {"prompt": "Tell me a story", "stream": True}


async def test_words_arrive_one_by_one_as_they_are_written(
    new_server: NewServer,
) -> None:
    words = [f"word{number} " for number in range(10)]
    heard = [asyncio.Event() for _ in words]
    # The model says no word before the client has the one before it.
    pairs = zip(words, heard, strict=True)
    script = [line for word, event in pairs for line in (delta(word), event)]
    async with running_stub(head(), *script, STOP, DONE, END) as stub:
        server = new_server(
            is_real=True,
            settings={
                "openai_base_url": stub.base_url,
                "default_model": "openai:parrot",
            },
        )
        await server.start()
        said: list[str] = []

        async with server.client.sse("/prompt/", method="POST", json=STREAM) as source:
            async for one in source:
                if one.event == "delta":
                    said.append(received(one.json())["text"])
                    heard[len(said) - 1].set()

    assert said == words


async def test_a_client_that_is_killed_again_and_again_gets_exactly_the_stored_text(
    new_server: NewServer,
) -> None:
    server = new_server(words=150, pause=0.008)
    await server.start()
    begun = await server.client.post("/prompt/", json=STREAM | {"background": True})
    run_id = begun.json()["id"]
    have, resumed, is_done = "", 0, False

    while not is_done:
        # With fewer characters than it has, as if the last ones had not been saved.
        have = have[: len(have) - random.choice([0, 0, 3])]
        part, is_done = await read_some(server.client, run_id, have)
        have, resumed = have + part, resumed + 1

    assert resumed >= 20
    assert have == (await server.run(run_id))["response"]


async def read_some(
    client: httpx2.AsyncClient, run_id: str, have: str
) -> tuple[str, bool]:
    """Read a few deltas and break the connection; say whether the run was over."""
    patience = random.randint(1, 6)
    part = ""
    position = {"starting_after": str(len(have))}
    async with client.sse(f"/history/{run_id}/stream", params=position) as source:
        async for one in source:
            if one.event == "done":
                return part, True
            if one.event == "delta":
                part += received(one.json())["text"]
                patience -= 1
            if not patience:
                break
    return part, False


async def test_a_run_goes_on_when_its_client_hangs_up(new_server: NewServer) -> None:
    server = new_server(words=20, pause=0.005)
    await server.start()

    async with server.client.sse("/prompt/", method="POST", json=STREAM) as source:
        events = aiter(source)
        run_id = received((await anext(events)).json())["id"]
        await anext(events)

    ended = await server.ended_run(run_id)
    assert ended["status"] == "succeeded"
    assert ended["response"].count(" ") == 20
    assert await asyncio.to_thread(server.log.read_text) == ""


async def test_fifty_at_once_with_one_key_make_one_run(new_server: NewServer) -> None:
    server = new_server()
    await server.start()

    responses = await asyncio.gather(
        *(
            server.client.post(
                "/prompt/", json={"prompt": "Once"}, headers={"Idempotency-Key": "k"}
            )
            for _ in range(50)
        )
    )

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert len(await server.history()) == 1


def received(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value
