"""`kill -9`, at chosen instants and at random ones."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import Served

KILLS = 30


async def test_an_answer_survives_a_kill_right_after_it(new_server: NewServer) -> None:
    server = new_server()
    await server.start()
    answer = (await server.client.post("/prompt/", json={"prompt": "Hi"})).json()

    await server.restart()

    kept = await server.run(answer["id"])
    assert kept["prompt"] == "Hi"
    assert {key: kept[key] for key in answer} == answer


async def test_a_free_run_is_answered_after_a_kill_right_after_the_202(
    new_server: NewServer,
) -> None:
    server = new_server(words=20, pause=0.01)
    await server.start()
    body = {"prompt": "Hi", "background": True}
    accepted = (await server.client.post("/prompt/", json=body)).json()

    await server.restart()

    ended = await server.ended_run(accepted["id"])
    assert (ended["prompt"], ended["status"]) == ("Hi", "succeeded")
    assert ended["response"].count(" ") == 20


async def test_a_run_that_costs_money_is_not_repeated_after_a_kill(
    new_server: NewServer,
) -> None:
    server = new_server(words=1000, pause=0.005, is_free=False)
    await server.start()
    body = {"prompt": "Hi", "background": True}
    accepted = (await server.client.post("/prompt/", json=body)).json()
    await asyncio.sleep(0.3)

    await server.restart()

    ended = await server.ended_run(accepted["id"])
    assert (ended["prompt"], ended["status"]) == ("Hi", "interrupted")
    assert ended["response"].count(" ") > 5
    assert ended["error"]["type"] == "run-interrupted"


async def test_a_reader_who_comes_back_after_a_kill_never_gets_a_splice(
    new_server: NewServer,
) -> None:
    server = new_server(words=40, pause=0.01)
    await server.start()
    body = {"prompt": "Hi", "background": True}
    run_id = (await server.client.post("/prompt/", json=body)).json()["id"]
    have, last_id, words = "", "", 0
    async with server.client.sse(f"/history/{run_id}/stream") as source:
        async for one in source:
            words += one.event == "delta"
            if one.event == "delta" and words <= 5:
                have, last_id = have + received(one.json())["text"], one.id
            if words == 25:  # the first ones have been written to disk by now
                break

    await server.restart()

    position = {"Last-Event-ID": last_id}
    resets = 0
    async with server.client.sse(
        f"/history/{run_id}/stream", headers=position
    ) as source:
        async for one in source:
            if one.event == "reset":
                have, resets = received(one.json())["text"], resets + 1
            elif one.event == "delta":
                have += received(one.json())["text"]
    assert have == (await server.run(run_id))["response"]
    assert resets == 1


@dataclass
class Told:
    """What the server's clients were told, and so rely on."""

    prompts: dict[str, str] = field(default_factory=dict)
    """What was asked, by the id of its run, of every prompt that was accepted."""
    answers: dict[str, str] = field(default_factory=dict)
    broken: int = 0
    """How many requests ended without their answer."""


async def post(server: Served, way: str, prompt: str, told: Told) -> None:
    body: dict[str, Any] = {"prompt": prompt}
    if way == "stream":
        body["stream"] = True
        async with server.client.sse("/prompt/", method="POST", json=body) as source:
            run_id, text = "", ""
            async for one in source:
                data = received(one.json())
                if one.event == "run":
                    run_id = data["id"]
                    told.prompts[run_id] = prompt
                elif one.event == "delta":
                    text += data["text"]
                elif one.event == "done":
                    assert data["response"] == text
                    told.answers[run_id] = text
        return
    if way == "background":
        body["background"] = True
    response = await server.client.post("/prompt/", json=body)
    if response.status_code == 503:  # it is shutting down
        await asyncio.sleep(0.02)
        return
    assert response.is_success, response.text
    answer = response.json()
    told.prompts[answer["id"]] = prompt
    if way == "plain":
        told.answers[answer["id"]] = answer["response"]
    else:
        await asyncio.sleep(0.03)  # or these would fill the queue


async def post_until(stop: asyncio.Event, server: Served, way: str, told: Told) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        prompt = f"{way} {id(stop)} {number} \u00e9"
        try:
            await post(server, way, prompt, told)
        except httpx2.TransportError:
            told.broken += 1


async def check_nothing_is_lost(server: Served, told: Told) -> None:
    for run_id in told.prompts:
        if run_id not in told.answers:
            await server.ended_run(run_id)
    kept = await server.history()
    assert {run_id: kept[run_id].get("prompt") for run_id in told.prompts} == (
        told.prompts
    )
    assert {run_id: kept[run_id]["response"] for run_id in told.answers} == (
        told.answers
    )
    assert {kept[run_id]["status"] for run_id in told.prompts} == {"succeeded"}


@pytest.mark.parametrize("ways", [["plain", "stream", "background"] * 3])
async def test_no_accepted_prompt_is_lost_when_the_server_is_killed_under_load(
    new_server: NewServer, ways: list[str]
) -> None:
    server = new_server(words=3, pause=0.003, settings={"max_running": 8})
    told, stop = Told(), asyncio.Event()
    await server.start()

    async with asyncio.TaskGroup() as clients:
        for way in ways:
            clients.create_task(post_until(stop, server, way, told))
        for number in range(KILLS):
            if number % 5:  # every fifth is killed while it starts
                await server.client.get("/healthz")
            await asyncio.sleep(random.uniform(0, 0.15))
            await server.restart()
        stop.set()

    # There was a load, also on a machine that is busy with something else.
    assert len(told.prompts) > 10
    assert len(told.answers) > 5
    assert told.broken > KILLS
    await check_nothing_is_lost(server, told)


def received(value: object) -> dict[str, Any]:
    assert isinstance(value, dict)
    return value
