"""Webhooks that users have sent when their runs end."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from replicate.webhook import Webhooks, WebhookSigningSecret

from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from llamakeep.webhooks import delivery as notifying
from llamakeep.webhooks.signing import is_signed, read_stamp
from tests.api.serving import ALICE, BOB, Client, connect
from tests.fakes import ScriptedProvider
from tests.receiving import Received, Receiver, open_receiver
from tests.waiting import LONG_ENOUGH

SECRET = "/me/webhook-secret"
PREDICTIONS = "/replicate/v1/models/scripted/parrot/predictions"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and lose no time between two tries."""
    monkeypatch.setattr(notifying, "LOOK", 0.01)
    monkeypatch.setattr(notifying, "PAUSES", (0.02, 0.02, 0.02))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A server that sends webhooks, also to this computer."""
    changes = {"webhooks": True, "webhook_networks": ["127.0.0.0/8"]}
    return Settings.model_validate(settings.model_dump() | changes)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as receiver:
        yield receiver


async def secret_of(client: Client, headers: dict[str, str] | None = None) -> str:
    response = await client.get(SECRET, headers=headers or {})
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return str(response.json()["secret"])


async def until(client: Client, run_id: str, status: str) -> dict[str, Any]:
    """Wait until the webhook about a run has a status, and return it."""
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            webhook = (await client.get(f"/history/{run_id}")).json()["webhook"]
            if webhook["status"] == status:
                return dict(webhook)
            await asyncio.sleep(0.01)


def is_valid(one: Received, secret: str) -> bool:
    return is_signed(read_stamp(one.headers, now=time.time()), one.raw, secret)


def wrong_field(response: httpx2.Response) -> tuple[str, str]:
    assert response.status_code == 422, response.text
    [wrong] = response.json()["errors"]
    return wrong["field"], wrong["message"]


async def test_the_end_of_a_run_is_told_as_the_history_shows_it(
    client: Client, receiver: Receiver
) -> None:
    run_id = await client.begin("Hi", webhook=receiver.url, metadata={"a": "b"})

    [one] = await receiver.wait_for(1)

    state = await until(client, run_id, "delivered")
    run = (await client.get(f"/history/{run_id}")).json()
    assert run.pop("webhook") == state
    assert state == {
        "status": "delivered",
        "tries": 1,
        "next_try_at": None,
        "last_error": None,
    }
    assert one.body == {
        "type": "run.succeeded",
        "timestamp": run["finished_at"],
        "data": run,
    }
    assert one.body["data"]["response"] == "Hello, world"
    assert one.headers["content-type"] == "application/json"
    assert one.headers["webhook-id"].startswith("msg_")


async def test_it_is_signed_with_its_users_secret(
    client: Client, receiver: Receiver
) -> None:
    await client.begin("Hi", webhook=receiver.url)

    [one] = await receiver.wait_for(1)

    assert is_valid(one, await secret_of(client))
    assert not is_valid(one, await secret_of(client, BOB))


async def test_for_a_day_it_is_signed_with_the_secret_before_too(
    client: Client, receiver: Receiver
) -> None:
    before = await secret_of(client)

    rotated = (await client.post(f"{SECRET}/rotate")).json()

    await client.begin("Hi", webhook=receiver.url)
    [one] = await receiver.wait_for(1)
    assert rotated["secret"] == await secret_of(client) != before
    assert rotated["previous_until"] is not None
    assert is_valid(one, before)
    assert is_valid(one, rotated["secret"])


async def test_a_failure_is_told_too(
    client: Client, provider: ScriptedProvider, receiver: Receiver
) -> None:
    provider.script = ["Half", ProviderUnavailable("It broke off.")]

    await client.begin("Hi", webhook=receiver.url)

    [one] = await receiver.wait_for(1)
    assert one.body["type"] == "run.failed"
    assert one.body["data"]["response"] == "Half"
    assert one.body["data"]["error"]["type"] == "provider-unavailable"


async def test_a_run_that_was_canceled_is_told_of(
    client: Client, provider: ScriptedProvider, receiver: Receiver
) -> None:
    provider.script = ["Half", asyncio.Event()]
    run_id = await client.begin("Hi", webhook=receiver.url)
    await client.written(run_id, "Half")
    assert receiver.received == []

    await client.post(f"/history/{run_id}/cancel")

    [one] = await receiver.wait_for(1)
    assert one.body["type"] == "run.canceled"


@pytest.mark.parametrize("status", [302, 500])
async def test_what_is_not_received_is_sent_again_with_the_same_id(
    client: Client, receiver: Receiver, status: int
) -> None:
    receiver.answers = (status, b"nonsense\r\n\r\n", 204)

    run_id = await client.begin("Hi", webhook=receiver.url)

    tries = await receiver.wait_for(3)
    assert (await until(client, run_id, "delivered"))["tries"] == 3
    assert len({one.headers["webhook-id"] for one in tries}) == 1
    assert len({one.raw for one in tries}) == 1
    secret = await secret_of(client)
    assert all(is_valid(one, secret) for one in tries)


async def test_it_is_given_up_after_the_last_try(
    client: Client, receiver: Receiver
) -> None:
    receiver.answers = (500,)

    run_id = await client.begin("Hi", webhook=receiver.url)

    assert await until(client, run_id, "given-up") == {
        "status": "given-up",
        "tries": 4,
        "next_try_at": None,
        "last_error": "The receiver answered 500.",
    }
    assert len(receiver.received) == 4


async def test_a_receiver_that_is_gone_is_not_asked_again(
    client: Client, receiver: Receiver
) -> None:
    receiver.answers = (410,)

    run_id = await client.begin("Hi", webhook=receiver.url)

    state = await until(client, run_id, "given-up")
    assert (state["tries"], state["last_error"]) == (1, "The receiver answered 410.")


async def test_a_slow_receiver_holds_nobody_else_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE_PER_HOST", 2)
    async with open_receiver(asyncio.Event()) as slow, open_receiver() as quick:
        for _ in range(6):
            await client.begin("Hi", webhook=slow.url)
        await slow.wait_for(2)

        run_id = await client.begin("Hi", webhook=quick.url)

        await until(client, run_id, "delivered")
        assert slow.most_open == 2


async def test_two_servers_send_each_webhook_once(
    settings: Settings, clean_postgres_url: str, receiver: Receiver
) -> None:
    shared = settings.model_copy(update={"database_url": clean_postgres_url})
    async with (
        connect(shared, ScriptedProvider()) as one,
        connect(shared, ScriptedProvider()) as other,
    ):
        ids = [
            await client.begin("Hi", webhook=receiver.url)
            for client in (one, other) * 10
        ]
        for run_id in ids:
            assert (await until(one, run_id, "delivered"))["tries"] == 1

    told = [each.body["data"]["id"] for each in receiver.received]
    assert sorted(told) == sorted(ids)


async def test_deleting_a_run_stops_its_webhook(
    client: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "PAUSES", (0.3, 0.1))
    receiver.answers = (500,)
    run_id = await client.begin("Hi", webhook=receiver.url)
    await receiver.wait_for(1)

    await client.delete(f"/history/{run_id}")

    # Its last try is later than the second one of the first would have been.
    other = await client.begin("Hi", webhook=receiver.url)
    await receiver.wait_for(4)
    told = [one.body["data"]["id"] for one in receiver.received]
    assert told == [run_id, other, other, other]


async def test_a_repeated_request_makes_no_second_webhook(
    client: Client, receiver: Receiver
) -> None:
    body = {"prompt": "Hi", "background": True, "webhook": receiver.url}
    key = {"Idempotency-Key": "k1"}

    first, second = [
        (await client.post("/prompt/", json=body, headers=key)).json() for _ in range(2)
    ]

    later = await client.begin("Hi", webhook=receiver.url)
    await until(client, first["id"], "delivered")
    await until(client, later, "delivered")
    assert first["id"] == second["id"]
    told = [one.body["data"]["id"] for one in receiver.received]
    assert sorted(told) == sorted([first["id"], later])


async def test_the_log_names_the_host_and_nothing_else_of_a_webhook(
    client: Client, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    run_id = await client.begin("Psst", webhook=f"{receiver.url}&key=hunter2")

    await until(client, run_id, "delivered")
    secret = await secret_of(client)
    assert f"webhook to 127.0.0.1:{receiver.port}: 200, try 1" in caplog.text
    for private in ("hunter2", "/hook", "Psst", "Hello", secret):
        assert private not in caplog.text


async def test_a_webhook_needs_a_run_in_the_background(
    client: Client, receiver: Receiver
) -> None:
    response = await client.post(
        "/prompt/", json={"prompt": "Hi", "webhook": receiver.url}
    )

    field, message = wrong_field(response)
    assert field == "webhook"
    assert "Send `background` as true" in message
    assert await client.history() == []


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://example.com:99999/", "or no such port"),
        ("http://10.0.0.1/", "begins with https://"),
        ("https://169.254.169.254/latest/", "LLAMAKEEP_WEBHOOK_NETWORKS"),
        ("https://me:secret@example.com/", "without username"),
        ("nonsense", "Send an https URL"),
        ("https://2130706433/", "as it is usually written"),
        ("http\u017f://example.com/x", "Send an https URL in ASCII"),
        ("https://e\u017fample.com/x", "Send an https URL in ASCII"),
    ],
)
async def test_where_nothing_may_be_sent_is_refused_at_once(
    client: Client, url: str, hint: str
) -> None:
    response = await client.post(
        "/prompt/", json={"prompt": "Hi", "background": True, "webhook": url}
    )

    field, message = wrong_field(response)
    assert field == "webhook"
    assert hint in message
    assert message.endswith("Nothing was stored.")
    assert await client.history() == []


async def test_a_run_without_a_webhook_looks_as_it_always_did(client: Client) -> None:
    run_id = await client.begin("Hi")

    assert "webhook" not in await client.ended(run_id)


async def test_a_server_that_sends_none_says_so(settings: Settings) -> None:
    off = settings.model_copy(update={"webhooks": False})
    body = {"prompt": "Hi", "background": True, "webhook": "https://example.com/"}
    async with connect(off, ScriptedProvider()) as client:
        asked = await client.post("/prompt/", json=body)
        secrets = [
            await client.get(SECRET),
            await client.post(f"{SECRET}/rotate"),
            await client.get("/replicate/v1/webhooks/default/secret"),
        ]

        field, message = wrong_field(asked)
        assert field == "webhook"
        assert "LLAMAKEEP_WEBHOOKS=true" in message
        assert await client.history() == []
    for response in secrets:
        assert response.status_code == 404
        assert "LLAMAKEEP_WEBHOOKS=true" in response.json()["detail"]


async def test_a_prediction_is_told_as_replicate_shows_it(
    client: Client, receiver: Receiver
) -> None:
    body = {"input": {"prompt": "Hi"}, "webhook": receiver.url}

    created = (await client.post(PREDICTIONS, json=body)).json()

    [one] = await receiver.wait_for(1)
    shown = (await client.get(created["urls"]["get"])).json()
    del shown["urls"]["stream"]
    assert one.body == shown
    assert one.body["status"] == "succeeded"
    assert one.body["urls"]["get"] == created["urls"]["get"]


async def test_replicates_own_client_accepts_what_is_sent(
    client: Client, receiver: Receiver
) -> None:
    found = await client.get("/replicate/v1/webhooks/default/secret")
    assert found.json() == {"key": await secret_of(client)}
    secret = WebhookSigningSecret(key=found.json()["key"])
    body = {"input": {"prompt": "Hi"}, "webhook": receiver.url}

    await client.post(PREDICTIONS, json=body)

    [one] = await receiver.wait_for(1)
    Webhooks.validate(headers=one.headers, body=one.raw.decode(), secret=secret)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (["start"], ["starting"]),
        (["completed"], ["succeeded"]),
        (["start", "completed", "logs"], ["starting", "succeeded"]),
    ],
)
async def test_only_the_events_that_were_asked_for_are_told(
    client: Client,
    provider: ScriptedProvider,
    receiver: Receiver,
    events: list[str],
    told: list[str],
) -> None:
    more = asyncio.Event()
    provider.before_accepting = more
    body = {
        "input": {"prompt": "Hi"},
        "webhook": receiver.url,
        "webhook_events_filter": events,
    }

    created = (await client.post(PREDICTIONS, json=body)).json()
    if "start" in events:
        await receiver.wait_for(1)
    more.set()

    await client.ended(f"run_{created['id']}")
    await receiver.wait_for(len(told))
    # What is sent later shows that nothing more was to be sent before.
    later = (await client.post(PREDICTIONS, json=body)).json()
    await receiver.wait_for(2 * len(told))
    of = [one.body for one in receiver.received]
    assert [one["status"] for one in of if one["id"] == created["id"]] == told
    assert [one["status"] for one in of if one["id"] == later["id"]] == told


async def test_a_start_is_told_as_it_was_also_when_it_is_told_late(
    client: Client, receiver: Receiver
) -> None:
    receiver.answers = (500, 200)
    body = {
        "input": {"prompt": "Hi"},
        "webhook": receiver.url,
        "webhook_events_filter": ["start"],
    }

    created = (await client.post(PREDICTIONS, json=body)).json()

    first, second = await receiver.wait_for(2)
    assert (await client.ended(f"run_{created['id']}"))["status"] == "succeeded"
    assert first.raw == second.raw
    assert first.body["output"] is first.body["completed_at"] is None


async def test_a_key_of_the_same_request_without_a_webhook_is_as_before(
    client: Client,
) -> None:
    """An upgrade in between must not make a repeated request another one."""
    body = {"prompt": "Hi", "background": True}
    key = {"Idempotency-Key": "k1"} | ALICE

    first = await client.post("/prompt/", json=body, headers=key)
    second = await client.post("/prompt/", json=body | {"webhook": None}, headers=key)

    assert json.loads(first.content)["id"] == second.json()["id"]
