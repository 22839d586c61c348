"""Replicate's own client for Python, unchanged, against the emulator."""

from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version

import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import Webhooks, WebhookSigningSecret

from tests.emulator.driver import MAVERICK, Driver
from tests.emulator.receiver import open_receiver

INPUT = {"prompt": "one two three"}
WORDS = ["one", " two", " three"]
PARROT = "llamakeep/parrot"


@pytest.fixture
def client(emulator: Driver) -> Iterator[Client]:
    client = Client(api_token="r8_anything", base_url=emulator.origin)
    yield client
    client._client.close()


@pytest.fixture
async def async_client(emulator: Driver) -> AsyncIterator[Client]:
    client = Client(api_token="r8_anything", base_url=emulator.origin)
    yield client
    await client._async_client.aclose()


def test_run_answers_with_the_words(client: Client) -> None:
    assert client.run(MAVERICK, input=INPUT) == WORDS


def test_run_takes_a_version_and_then_iterates(client: Client) -> None:
    newest = client.models.get(PARROT).versions.list().results[0]

    assert list(client.run(f"{PARROT}:{newest.id}", input=INPUT)) == WORDS


def test_run_raises_what_went_wrong(emulator: Driver, client: Client) -> None:
    emulator.rule(end="failed", error="Out of luck")

    with pytest.raises(ModelError, match="Out of luck"):
        client.run(MAVERICK, input=INPUT)


@pytest.mark.slow
def test_run_polls_when_the_wait_was_in_vain(emulator: Driver, client: Client) -> None:
    emulator.set(first_delay=1.2)
    client.poll_interval = 0.05

    assert client.run(MAVERICK, input=INPUT, wait=1) == WORDS


def test_stream_brings_every_word(emulator: Driver, client: Client) -> None:
    emulator.set(first_delay=0.1, gap=0.02)

    told = list(client.stream(MAVERICK, input=INPUT))

    assert [str(each) for each in told] == [*WORDS, ""]
    assert told[-1].event.value == "done"


def test_stream_survives_logs_and_crlf(emulator: Driver, client: Client) -> None:
    emulator.rule(on="stream", logs=True, crlf=True)

    told = client.stream(MAVERICK, input=INPUT)

    assert "".join(map(str, told)) == INPUT["prompt"]


async def test_async_run_answers_with_the_words(async_client: Client) -> None:
    assert await async_client.async_run(MAVERICK, input=INPUT) == WORDS


async def test_async_stream_brings_every_word(async_client: Client) -> None:
    told = await async_client.async_stream(MAVERICK, input=INPUT)

    assert [str(each) async for each in told] == [*WORDS, ""]


def test_create_and_wait_end_with_the_usage(client: Client) -> None:
    client.poll_interval = 0.02
    created = client.predictions.create(version=MAVERICK, input=INPUT)
    status = created.status

    created.wait()

    assert status == "starting"
    assert created.status == "succeeded"
    assert created.metrics is not None
    assert created.metrics["output_token_count"] == 3


def test_create_takes_a_model_and_waits(client: Client) -> None:
    created = client.models.predictions.create(MAVERICK, INPUT, wait=5)

    assert created.output == WORDS


def test_a_deployment_runs(client: Client) -> None:
    deployment = client.deployments.get("llamakeep/llama")

    created = deployment.predictions.create(INPUT, wait=5)

    assert created.output == WORDS


def test_cancel_cancels(emulator: Driver, client: Client) -> None:
    emulator.set(start_delay=60)
    created = client.predictions.create(version=MAVERICK, input=INPUT)

    created.cancel()

    created.reload()
    assert created.status == "canceled"


def test_pages_lead_to_everything(emulator: Driver, client: Client) -> None:
    made = [emulator.create()["id"] for _ in range(3)]
    emulator.set(page_size=2)

    first = client.predictions.list()
    assert first.next is not None
    second = client.predictions.list(first.next)

    assert [each.id for each in (*first, *second)] == made[::-1]


def test_a_webhook_proves_valid(emulator: Driver, client: Client) -> None:
    secret: WebhookSigningSecret = client.webhooks.default.secret()
    with open_receiver() as receiver:
        emulator.create(webhook=receiver.url, webhook_events_filter=["completed"])
        received = receiver.wait_for(1)[0]

    Webhooks.validate(
        headers=received.headers,
        body=received.raw.decode(),
        secret=secret,
        tolerance=60,
    )


def test_the_rest_can_be_looked_at(client: Client) -> None:
    assert client.accounts.current().username == "llamakeep"
    assert client.hardware.list()[0].sku == "cpu"
    assert client.collections.get("language-models").models
    assert client.models.search("scout").results[0].name == "llama-4-scout-instruct"
    assert len(client.models.list().results) == 8


def test_a_refusal_is_an_error_with_its_status(client: Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.run(MAVERICK, input={"prompt": 1})

    assert caught.value.status == 422
    assert caught.value.title == "Input validation failed"


def test_the_client_is_the_stable_one() -> None:
    assert version("replicate") == "1.0.7"
