"""The first README's three calls, answered by the embedded model."""

import json
import signal
from typing import Any

import pytest

from llamakeep.providers.local.weights import find_weights, has_engine
from llamakeep.settings import Settings
from tests.acceptance.conftest import NewServer


@pytest.fixture(autouse=True)
def needs_the_embedded_model(settings: Settings) -> None:
    if not has_engine() or find_weights(settings) is None:
        pytest.skip("The embedded model is not installed; `make run` installs it.")


async def test_the_three_calls_are_answered_by_a_real_model(
    new_server: NewServer,
) -> None:
    server = new_server(is_real=True, settings={"local_threads": 1})
    await server.start()

    login = await server.client.post(
        "/login/", json={"username": "alice", "password": "secret1"}
    )
    prompt = await server.client.post(
        "/prompt/",
        json={
            "prompt": "What is FastAPI and why is it useful?",
            "max_tokens": 12,
            "temperature": 0,  # or it says something else each time
        },
    )
    history = await server.client.get("/history/")
    status = await server.stop(signal.SIGTERM)

    assert login.json()["token"] == "token_alice"
    assert prompt.status_code == 200, prompt.text
    assert len(prompt.json()["response"].split()) > 3
    assert prompt.json()["model"].startswith("local:")
    assert prompt.json()["usage"]["output_tokens"] == 12
    [kept] = history.json()["history"]
    assert kept["prompt"] == "What is FastAPI and why is it useful?"
    assert kept["response"] == prompt.json()["response"]
    assert status == 0


async def test_the_embedded_model_keeps_to_the_form_that_openais_clients_ask_for(
    new_server: NewServer,
) -> None:
    server = new_server(is_real=True, settings={"local_threads": 1})
    await server.start()
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}},
        "required": ["yes"],
        "additionalProperties": False,
    }

    answer = await server.client.post(
        "/v1/chat/completions",
        json={
            "messages": [{"role": "user", "content": "Is water wet?"}],
            "max_tokens": 60,
            "temperature": 0,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "schema": schema},
            },
        },
    )

    assert answer.status_code == 200, answer.text
    verdict = json.loads(answer.json()["choices"][0]["message"]["content"])
    assert verdict["yes"] in {True, False}
    assert verdict.keys() == {"yes"}


async def test_the_embedded_model_calls_a_tool_and_is_told_the_result(
    new_server: NewServer,
) -> None:
    server = new_server(is_real=True, settings={"local_threads": 1})
    await server.start()
    city = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}}
    schema = city | {"required": ["city"], "additionalProperties": False}
    function = {"name": "get_weather", "parameters": schema}
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": "Is it cold in Oslo?"}],
        "tools": [{"type": "function", "function": function}],
        "temperature": 0,
    }

    called = await server.client.post(
        "/v1/chat/completions",
        json=asked | {"tool_choice": "required", "max_tokens": 60},
    )
    [choice] = called.json()["choices"]
    [call] = choice["message"]["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "-3 degrees"}
    messages = [*asked["messages"], choice["message"], result]
    answer = await server.client.post(
        "/v1/chat/completions", json=asked | {"messages": messages, "max_tokens": 8}
    )
    history = (await server.client.get("/history/")).json()["history"]

    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(call["function"]["arguments"])["city"] in {"Oslo", "Rome"}
    assert answer.status_code == 200, answer.text
    assert [each["parameters"]["prompted_tools"] for each in history] == [True, True]
    assert history[1]["output"][0]["call_id"] == call["id"]
