"""What Replicate says, or somebody who says to be Replicate."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from pydantic import HttpUrl

from llamakeep.providers.replicate import ReplicateProvider
from llamakeep.providers.replicate.webhooks import WEBHOOK_PATH
from llamakeep.settings import Settings
from replicate_emulator.webhooks import signature
from tests.api.serving import Client, connect
from tests.engine.forgetful import Forgetful
from tests.fakes import ScriptedProvider
from tests.waiting import until

SECRET = "whsec_bGxhbWFrZWVwLWVtdWxhdG9yLXNlY3JldA=="
OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changes = {"public_url": HttpUrl("https://example.com"), "settle_time": 3600}
    return settings.model_copy(update=changes)


@pytest.fixture
def provider() -> Forgetful:
    return Forgetful()


@pytest.fixture
async def client(settings: Settings, provider: Forgetful) -> AsyncIterator[Client]:
    replicate = ReplicateProvider("r8_any", base_url=NOBODY, webhook_secret=SECRET)
    async with connect(settings, provider, replicate) as client:
        yield client


def about(run_id: str, handle: str = "ours", **more: Any) -> bytes:
    """Return a webhook's body."""
    query = f"run={run_id}&attempt=1"
    prediction = {
        "id": handle,
        "status": "starting",
        "webhook": f"https://example.com{WEBHOOK_PATH}?{query}",
    }
    return json.dumps(prediction | more).encode()


def signed(
    body: bytes, *, secret: str = SECRET, message_id: str = "msg_1", age: int = 0
) -> dict[str, str]:
    sent_at = int(time.time()) - age
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": signature(secret, message_id, sent_at, body),
    }


async def deliver(client: Client, body: bytes, **how: Any) -> httpx2.Response:
    return await client.post(WEBHOOK_PATH, content=body, headers=signed(body, **how))


async def lost_run(client: Client, provider: Forgetful) -> str:
    """Return a run whose create's answer was lost."""
    run_id = await client.begin()
    await until(lambda: provider.requests)
    return run_id


async def test_a_webhook_tells_where_a_lost_answer_is(
    client: Client, provider: Forgetful
) -> None:
    provider.proven = {"ours"}
    run_id = await lost_run(client, provider)

    response = await deliver(client, about(run_id))

    assert (response.status_code, response.content) == (200, b"")
    assert (await client.ended(run_id))["response"] == "Because."
    assert provider.resumed == ["ours"]


@pytest.mark.parametrize(
    "how",
    [
        {"secret": OTHER_SECRET},
        {"age": 301},
        {"age": -310},
        {"message_id": "not an id"},
    ],
)
async def test_a_forged_webhook_changes_nothing(
    client: Client, provider: Forgetful, how: dict[str, Any]
) -> None:
    run_id = await lost_run(client, provider)

    response = await deliver(client, about(run_id), **how)

    assert response.status_code == 401
    assert response.json()["type"] == "urn:llamakeep:problem:signature-invalid"
    assert provider.hinted == []


async def test_a_webhook_whose_body_was_changed_changes_nothing(
    client: Client, provider: Forgetful
) -> None:
    run_id = await lost_run(client, provider)
    headers = signed(about("run_of_somebody"))

    response = await client.post(WEBHOOK_PATH, content=about(run_id), headers=headers)

    assert response.status_code == 401
    assert provider.hinted == []


async def test_a_replayed_webhook_is_welcome_and_changes_nothing(
    client: Client, provider: Forgetful
) -> None:
    run_id = await lost_run(client, provider)
    body = about(run_id, "alien")
    headers = signed(body)

    for _ in range(3):
        response = await client.post(WEBHOOK_PATH, content=body, headers=headers)
        assert response.status_code == 200

    assert provider.hinted == ["alien"]
    await deliver(client, body, message_id="msg_2")
    assert provider.hinted == ["alien", "alien"]


async def test_a_webhook_about_a_run_of_another_node_is_taken_and_not_kept(
    client: Client, provider: Forgetful
) -> None:
    response = await deliver(client, about("run_of_another_node"))

    assert response.status_code == 200
    assert provider.hinted == []
    assert await client.storage.add_delivery("msg_1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 5000,
        about("run_1", status="unheard of"),
        about("run_1", handle="../other"),
        about("run_1", webhook=None),
        about("run_1", webhook="http://["),
        about("run_1", webhook="https://example.com/?run="),
        about("run_1", output={"not": "text"}),
    ],
)
async def test_what_cannot_be_read_is_taken_and_thrown_away(
    client: Client, body: bytes
) -> None:
    assert (await deliver(client, body)).status_code == 200
    response = await client.post(WEBHOOK_PATH, content=body)
    assert response.status_code == 401


async def test_a_webhook_may_be_larger_than_a_prompt_but_not_endless(
    client: Client, settings: Settings
) -> None:
    limit = 4 * settings.max_body_size

    taken = await deliver(client, b" " * limit)
    refused = await deliver(client, b" " * (limit + 1))

    assert taken.status_code == 200
    assert refused.status_code == 413
    assert str(limit) in refused.json()["detail"]


async def test_without_a_public_url_there_is_no_such_door(settings: Settings) -> None:
    settings = settings.model_copy(update={"public_url": None})
    replicate = ReplicateProvider("r8_any", base_url=NOBODY, webhook_secret=SECRET)
    async with connect(settings, ScriptedProvider(), replicate) as client:
        response = await deliver(client, about("run_1"))

    assert response.status_code == 404


async def test_without_replicate_there_is_nothing_to_receive(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider()) as client:
        response = await deliver(client, about("run_1"))

    assert response.status_code == 404


async def test_while_the_secret_is_not_known_webhooks_are_to_be_sent_again(
    settings: Settings, provider: Forgetful
) -> None:
    replicate = ReplicateProvider("r8_any", base_url=NOBODY)
    async with connect(settings, provider, replicate) as client:
        run_id = await lost_run(client, provider)

        response = await deliver(client, about(run_id))

    assert response.status_code == 503
    assert response.json()["type"] == "urn:llamakeep:problem:provider-unavailable"
    assert provider.hinted == []
