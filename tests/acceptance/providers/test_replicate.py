"""A server that is killed while Replicate works, and what its successor finds."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from replicate_emulator import open_emulator
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.waiting import LONG_ENOUGH, until

WORDS = [f"word{number} " for number in range(40)]
ANSWER = "".join(WORDS)


class Replicate:
    """The emulator, as a test sets it up and looks at it."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self.url = url
        self._client = client

    async def rule(self, **rule: Any) -> None:
        (await self._client.post("/_emulator/rules", json=rule)).raise_for_status()

    async def next_rule(self, **rule: Any) -> None:
        """Let a rule come before those that wait."""
        waiting = (await self._client.get("/_emulator/rules")).json()
        (await self._client.delete("/_emulator/rules")).raise_for_status()
        for each in (rule, *waiting):
            await self.rule(**each)

    async def requests(self) -> dict[str, int]:
        found: dict[str, int] = (await self._client.get("/_emulator/requests")).json()
        return found

    async def until(self, *statuses: str) -> None:
        """Wait until the predictions have these statuses, the oldest first."""
        async with asyncio.timeout(LONG_ENOUGH):
            while True:
                made = await self.predictions()
                if [each["status"] for each in made] == [*statuses]:
                    return
                await asyncio.sleep(0.02)

    async def settings(self, **settings: Any) -> None:
        answer = await self._client.patch("/_emulator/settings", json=settings)
        answer.raise_for_status()

    async def predictions(self) -> list[dict[str, Any]]:
        answer = await self._client.get("/_emulator/predictions")
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found

    async def clock(self, seconds: float) -> None:
        await self._client.post("/_emulator/clock", json={"advance": seconds})


@asynccontextmanager
async def emulator() -> AsyncIterator[Replicate]:
    opened = open_emulator()
    url = await asyncio.to_thread(opened.__enter__)
    try:
        async with httpx2.AsyncClient(
            base_url=url, trust_env=False, verify=False, timeout=LONG_ENOUGH
        ) as client:
            yield Replicate(url, client)
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)


@pytest.fixture
async def replicate() -> AsyncIterator[Replicate]:
    async with emulator() as replicate:
        await replicate.rule(deltas=WORDS, gap=0.03, times=None)
        yield replicate


@pytest.fixture
async def server(new_server: NewServer, replicate: Replicate) -> ServerProcess:
    settings = {
        "replicate_api_token": "r8_emulated",
        "replicate_base_url": replicate.url,
        "settle_time": 0.3,
    }
    server = new_server(is_real=True, settings=settings)
    await server.start()
    return server


async def begin(server: ServerProcess) -> str:
    body = {"prompt": "Forty words, please.", "background": True}
    answer = await server.client.post("/prompt/", json=body)
    answer.raise_for_status()
    return str(answer.json()["id"])


async def begin_to_answer(server: ServerProcess) -> str:
    """Begin a run, and wait until some of its answer is in the history."""
    run_id = await begin(server)

    async def has_text() -> bool:
        return bool((await server.run(run_id))["response"])

    await until(has_text)
    return run_id


async def test_a_killed_server_goes_on_with_the_prediction_it_had_made(
    server: ServerProcess, replicate: Replicate
) -> None:
    run_id = await begin_to_answer(server)

    await server.restart()
    run = await server.ended_run(run_id)

    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert len(await replicate.predictions()) == 1


async def test_a_reader_of_a_resumed_prediction_misses_nothing_and_gets_no_reset(
    server: ServerProcess,
) -> None:
    run_id = await begin(server)
    text, after = "", "0"
    for _ in range(6):
        url = f"/history/{run_id}/stream?starting_after={after}"
        stream = server.client.stream("GET", url)
        try:
            async with asyncio.timeout(0.25), stream as answer:
                async for event in events_of(answer):
                    assert event["event"] != "reset"
                    if event["event"] == "delta":
                        text, after = text + event["text"], event["id"]
        except (TimeoutError, httpx2.HTTPError):
            await server.restart()

    run = await server.ended_run(run_id)
    url = f"/history/{run_id}/stream?starting_after={after}"
    async with server.client.stream("GET", url) as answer:
        rest = [e["text"] async for e in events_of(answer) if e["event"] == "delta"]

    assert text + "".join(rest) == run["response"] == ANSWER


async def test_calls_in_the_text_of_a_resumed_prediction_are_the_same_calls(
    server: ServerProcess, replicate: Replicate
) -> None:
    calls = [f'{{"name": "look", "parameters": {{"n": {n}}}}}\n' for n in range(8)]
    text = "".join(calls)
    pieces = [text[at : at + 9] for at in range(0, len(text), 9)]
    await replicate.next_rule(deltas=pieces, gap=0.03)
    body = {
        "input": "Look around.",
        "tools": [{"type": "function", "name": "look"}],
        "background": True,
    }
    begun = await server.client.post("/v1/responses", json=body)
    begun.raise_for_status()
    [run_id] = await server.history()

    async def has_a_call() -> bool:
        return bool((await server.run(run_id))["output"])

    await until(has_a_call)
    before = [each["call_id"] for each in (await server.run(run_id))["output"]]
    await server.restart()
    run = await server.ended_run(run_id)

    assert [each["text"] for each in run["output"]] == [
        f'{{"n": {n}}}' for n in range(8)
    ]
    assert [each["call_id"] for each in run["output"]][: len(before)] == before
    assert (run["status"], run["finish_reason"]) == ("succeeded", "tool_calls")
    assert len(await replicate.predictions()) == 1


async def test_a_create_whose_answer_was_lost_is_found_and_not_repeated(
    server: ServerProcess, replicate: Replicate
) -> None:
    await replicate.next_rule(drop=True, creates=True, deltas=WORDS)

    run = await server.ended_run(await begin(server))

    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert len(await replicate.predictions()) == 1


async def test_a_lost_create_is_looked_for_as_long_as_replicate_is_away(
    server: ServerProcess, replicate: Replicate
) -> None:
    await replicate.next_rule(drop=True, creates=True, deltas=WORDS)
    await replicate.rule(on="list", status=503, times=4)  # a GET is tried three times

    run = await server.ended_run(await begin(server))

    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert len(await replicate.predictions()) == 1
    assert (await replicate.requests())["list"] == 5


async def test_a_server_killed_before_the_create_was_answered_finds_the_prediction(
    server: ServerProcess, replicate: Replicate
) -> None:
    # Until the whole answer is there, nobody is told the prediction's id.
    body = {"prompt": "Forty words, please."}
    waiting = asyncio.create_task(server.client.post("/prompt/", json=body))
    while not await replicate.predictions():  # noqa: ASYNC110 - another process says when
        await asyncio.sleep(0.02)

    await server.restart()
    with pytest.raises(httpx2.HTTPError):
        await waiting
    [run_id] = await server.history()
    run = await server.ended_run(run_id)

    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert len(await replicate.predictions()) == 1


async def test_a_create_that_never_arrived_is_sent_again_after_two_looks(
    server: ServerProcess, replicate: Replicate
) -> None:
    await replicate.next_rule(drop=True)

    run = await server.ended_run(await begin(server))

    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert len(await replicate.predictions()) == 1


async def test_an_answer_that_was_erased_meanwhile_is_expired_with_its_text_so_far(
    server: ServerProcess, replicate: Replicate
) -> None:
    run_id = await begin_to_answer(server)
    await server.stop()
    await replicate.until("succeeded")
    await replicate.clock(3700)

    await server.start()
    run = await server.ended_run(run_id)

    assert run["status"] == "expired"
    assert run["error"]["type"] == "answer-expired"
    assert run["response"]
    assert ANSWER.startswith(run["response"])
    assert len(await replicate.predictions()) == 1


async def test_a_server_that_stops_leaves_its_prediction_to_the_next_one(
    server: ServerProcess, replicate: Replicate
) -> None:
    run_id = await begin_to_answer(server)

    status = await server.stop(signal.SIGTERM)
    await server.start()
    run = await server.ended_run(run_id)

    assert status == 0
    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert len(await replicate.predictions()) == 1


async def test_canceling_a_run_cancels_its_prediction(
    server: ServerProcess, replicate: Replicate
) -> None:
    run_id = await begin_to_answer(server)

    canceled = (await server.client.post(f"/history/{run_id}/cancel")).json()

    assert canceled["status"] == "canceled"
    await replicate.until("canceled")


async def test_canceling_a_run_whose_create_is_not_answered_yet_cancels_what_it_makes(
    server: ServerProcess, replicate: Replicate
) -> None:
    await replicate.next_rule(delay=1, end="never")
    run_id = await begin(server)
    await replicate.until("processing")

    canceled = (await server.client.post(f"/history/{run_id}/cancel")).json()
    is_running = (await replicate.predictions())[0]["status"] == "processing"
    await replicate.until("canceled")

    assert canceled["status"] == "canceled"
    assert is_running, "the user is not kept waiting for Replicate"


async def events_of(answer: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield an answer's events as they come, each with its text if it has one."""
    buffer = ""
    async for piece in answer.aiter_text():
        buffer += piece
        *blocks, buffer = buffer.split("\n\n")
        for block in blocks:
            fields = dict(
                line.split(": ", 1) for line in block.split("\n") if line[0] != ":"
            )
            if "event" in fields:
                yield {
                    "event": fields["event"],
                    "id": fields.get("id", ""),
                    "text": json.loads(fields["data"]).get("text", ""),
                }
