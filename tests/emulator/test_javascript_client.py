"""Replicate's own client for JavaScript, unchanged, against the emulator."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.driver import Driver
from tests.emulator.receiver import open_receiver
from tests.node import Drive, driving, node_with_packages

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "js"
Act = Callable[..., Any]


@pytest.fixture(scope="module")
def client(emulator_origin: str) -> Iterator[Drive]:
    with driving(node_with_packages(FOLDER), FOLDER, emulator_origin) as drive:
        yield drive


@pytest.fixture
def act(emulator: Driver, client: Drive) -> Act:
    """Let the client do something with an emulator that knows nothing yet."""
    del emulator

    def run(name: str, argument: Any = None) -> Any:
        answer = client(name, argument)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    return run


@pytest.mark.parametrize("name", ["run", "runPolling"])
def test_run_answers_with_the_words(act: Act, name: str) -> None:
    assert act(name) == ["one", " two", " three"]


def test_run_takes_a_version(emulator: Driver, act: Act) -> None:
    model = emulator.http.get("/v1/models/llamakeep/parrot").json()

    output = act("runVersion", f"llamakeep/parrot:{model['latest_version']['id']}")

    assert output == ["one", " two", " three"]


def test_run_outlasts_being_throttled(emulator: Driver, act: Act) -> None:
    emulator.rule(status=429, retry_after=1)

    assert act("run") == ["one", " two", " three"]


def test_run_throws_what_went_wrong(emulator: Driver, act: Act) -> None:
    emulator.rule(end="failed", error="Out of luck", after=1)

    assert act("runFailing") == "Prediction failed: Out of luck"


def test_stream_brings_every_event(emulator: Driver, act: Act) -> None:
    emulator.set(first_delay=0.1, gap=0.02)

    told = act("stream")

    assert [(each["event"], each["data"]) for each in told] == [
        ("output", "one"),
        ("output", " two"),
        ("output", " three"),
        ("done", "{}"),
    ]
    assert all(each["id"] for each in told)


def test_create_and_wait_end_with_the_usage(act: Act) -> None:
    created, ended = act("create")

    assert created["status"] == "starting"
    assert ended["status"] == "succeeded"
    assert ended["metrics"]["output_token_count"] == 3


def test_cancel_cancels(emulator: Driver, act: Act) -> None:
    emulator.set(start_delay=60)

    assert act("cancel")["status"] == "canceled"


def test_paginate_finds_everything(emulator: Driver, act: Act) -> None:
    made = [emulator.create()["id"] for _ in range(3)]
    emulator.set(page_size=2)

    assert act("list") == [[made[2], made[1]], [made[0]]]


def test_the_rest_can_be_looked_at(act: Act) -> None:
    seen = act("look")

    assert seen["account"]["username"] == "llamakeep"
    assert seen["collection"]["models"][0]["owner"] == "meta"
    assert seen["deployment"]["current_release"]["number"] == 1
    assert seen["hardware"][0]["sku"] == "cpu"
    assert seen["model"]["latest_version"]["openapi_schema"]
    assert seen["found"]["results"][0]["name"] == "llama-4-scout-instruct"


def test_a_webhook_proves_valid(emulator: Driver, act: Act) -> None:
    with open_receiver() as receiver:
        emulator.create(webhook=receiver.url, webhook_events_filter=["completed"])
        received = receiver.wait_for(1)[0]
    message = {
        name: received.headers[f"webhook-{name}"]
        for name in ("id", "timestamp", "signature")
    }

    assert act("validateWebhook", message | {"body": received.raw.decode()})


def test_a_refusal_is_an_error_with_its_status(act: Act) -> None:
    status, message = act("refused")

    assert status == 422
    assert "Input validation failed" in message
