"""A server that Replicate tells how its predictions are getting on."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from llamakeep.providers.replicate.webhooks import WEBHOOK_PATH
from replicate_emulator.webhooks import signature
from tests.acceptance.conftest import NewServer
from tests.acceptance.processes import ServerProcess
from tests.acceptance.providers.test_replicate import (
    ANSWER,
    WORDS,
    Replicate,
    begin,
    replicate,
)

__all__ = ["replicate"]

NOWHERE = "http://127.0.0.1:1"
"""Where no webhook arrives; the tests send their own."""

SECRET = "whsec_bGxhbWFrZWVwLWVtdWxhdG9yLXNlY3JldA=="
"""The emulator's."""

ANOTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LATE = 60
"""Seconds that no test takes: nothing is found by waiting for so long."""


async def start(
    new_server: NewServer, replicate: Replicate, **settings: Any
) -> ServerProcess:
    """Start a server that Replicate's webhooks reach."""
    chosen = {
        "replicate_api_token": "r8_emulated",
        "replicate_base_url": replicate.url,
        "settle_time": LATE,
    }
    server = new_server(is_real=True, settings=chosen)
    server.order.settings["public_url"] = str(server.client.base_url)
    server.order.settings |= settings
    await server.start()
    return server


def owner(prediction: dict[str, Any]) -> str:
    """Return the id of the run whose mark a prediction carries."""
    [run_id] = parse_qs(urlsplit(str(prediction["webhook"])).query)["run"]
    return run_id


def signed(
    prediction: dict[str, Any], *, message_id: str, secret: str = SECRET
) -> dict[str, Any]:
    """Return the request that Replicate would send about `prediction`."""
    body = json.dumps(prediction).encode()
    sent_at = int(time.time())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": signature(secret, message_id, sent_at, body),
    }
    return {"url": WEBHOOK_PATH, "content": body, "headers": headers}


async def test_a_create_whose_answer_was_lost_is_found_by_its_webhook(
    new_server: NewServer, replicate: Replicate
) -> None:
    await replicate.next_rule(drop=True, creates=True, deltas=WORDS, gap=0.01)
    server = await start(new_server, replicate)

    run = await server.ended_run(await begin(server))

    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert len(await replicate.predictions()) == 1
    assert "list" not in await replicate.requests()


@pytest.mark.parametrize("settings", [{}, {"settle_time": 0.3, "public_url": NOWHERE}])
async def test_two_lost_creates_of_the_same_prompt_are_not_mistaken_for_each_other(
    new_server: NewServer, replicate: Replicate, settings: dict[str, Any]
) -> None:
    for text in ("second", "first"):
        await replicate.next_rule(drop=True, creates=True, deltas=[text, " answer"])
    server = await start(new_server, replicate, **settings)

    run_ids = await asyncio.gather(begin(server), begin(server))
    runs = [await server.ended_run(run_id) for run_id in run_ids]

    said = {
        owner(each): "".join(each["output"]) for each in await replicate.predictions()
    }
    assert said == {run["id"]: run["response"] for run in runs}
    assert sorted(said.values()) == ["first answer", "second answer"]


async def test_nothing_comes_of_forged_false_or_repeated_webhooks(
    new_server: NewServer, replicate: Replicate
) -> None:
    server = await start(new_server, replicate, public_url=NOWHERE)
    other = await server.ended_run(await begin(server))
    await replicate.next_rule(drop=True, creates=True, deltas=WORDS)
    run_id = await begin(server)
    await replicate.until("succeeded", "succeeded")
    others, ours = await replicate.predictions()
    false = ours | {"id": others["id"]}

    async def deliver(prediction: dict[str, Any], **how: Any) -> int:
        return (await server.client.post(**signed(prediction, **how))).status_code

    statuses = [
        await deliver(ours, message_id="msg_1", secret=ANOTHER_SECRET),
        await deliver(false, message_id="msg_2"),
        await deliver(ours, message_id="msg_2"),  # not the first with this id
    ]
    meanwhile = await server.run(run_id)
    statuses += [await deliver(ours, message_id="msg_3")]
    run = await server.ended_run(run_id)
    statuses += [await deliver(ours, message_id="msg_3")]
    statuses += [await deliver(ours, message_id="msg_4")]

    assert statuses == [401, 200, 200, 200, 200, 200]
    assert meanwhile["status"] == "starting"
    assert (run["status"], run["response"]) == ("succeeded", ANSWER)
    assert await server.run(run_id) == run
    assert await server.run(other["id"]) == other
    assert len(await replicate.predictions()) == 2


async def test_canceling_a_run_that_is_looked_for_cancels_what_carries_its_mark(
    new_server: NewServer, replicate: Replicate
) -> None:
    await replicate.next_rule(drop=True, creates=True, end="never")
    server = await start(new_server, replicate, public_url=NOWHERE, settle_time=1.0)
    run_id = await begin(server)
    await replicate.until("processing")

    canceled = (await server.client.post(f"/history/{run_id}/cancel")).json()

    assert canceled["status"] == "canceled"
    await replicate.until("canceled")


async def test_canceling_a_waiting_prompt_cancels_its_prediction_before_it_has_ended(
    new_server: NewServer, replicate: Replicate
) -> None:
    await replicate.next_rule(end="never")  # and so the create is not answered
    server = await start(new_server, replicate)
    body = {"prompt": "Forty words, please."}
    waiting = asyncio.create_task(server.client.post("/prompt/", json=body))
    await replicate.until("processing")
    [run_id] = await server.history()

    await server.client.post(f"/history/{run_id}/cancel")

    assert (await waiting).status_code == 409
    await replicate.until("canceled")
    [prediction] = await replicate.predictions()
    assert owner(prediction) == run_id
