"""OpenAI's own Python client, answered by models on Replicate."""

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel, ValidationError

from tests.emulator.driver import MAVERICK
from tests.images import data_url, png
from tests.sdk.clients import history, openai_of
from tests.sdk.site import Site
from tests.waiting import LONG_ENOUGH

LLAMA = f"replicate:{MAVERICK}"
SIX_INPUTS = "replicate:meta/llama-4-scout-instruct"
STRUCTURED = "replicate:openai/gpt-5-structured"
WHO: list[Any] = [{"role": "user", "content": "Who is it?"}]
ADA = '{"name": "Ada"}'
TOOL: Any = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object"}},
}
CALL = {"id": "c1", "function": {"name": "look_up", "arguments": "{}"}}


CUT_CALL = ['{"name": "look_up", ', '"parameters": ', '{"name": ', '"Ada"}}']


class Person(BaseModel):
    name: str


@pytest.fixture
def client(site: Site) -> Iterator[OpenAI]:
    with openai_of(site) as client:
        yield client


def input_of_last(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = site.replicate.known()["predictions"][-1]["input"]
    return found


def test_a_call_continues_after_a_kill_in_its_arguments_and_is_asked_for_once(
    site: Site, client: OpenAI
) -> None:
    site.replicate.rule(deltas=CUT_CALL, gap=0.2)
    flat: Any = {"type": "function", **TOOL["function"]}
    stream = client.responses.create(
        model=LLAMA, input="Who?", tools=[flat], background=True, stream=True
    )
    created: Any = next(iter(stream))
    end = time.monotonic() + LONG_ENOUGH
    while not any(one["output"] for one in site.replicate.known()["predictions"]):
        assert time.monotonic() < end
        time.sleep(0.05)

    site.restart()
    rest = client.responses.retrieve(
        created.response.id, stream=True, starting_after=created.sequence_number
    )

    [*_, completed] = rest
    assert completed.type == "response.completed"
    [call] = completed.response.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert json.loads(call.arguments) == {"name": "Ada"}
    assert len(site.replicate.known()["predictions"]) == 1


@pytest.mark.parametrize("model", [LLAMA, SIX_INPUTS])
def test_a_llama_fills_in_a_form_by_prompt(
    site: Site, client: OpenAI, model: str
) -> None:
    site.replicate.rule(deltas=[ADA[:5], ADA[5:]])

    completion = client.chat.completions.parse(
        model=model, messages=WHO, response_format=Person
    )

    assert completion.choices[0].message.parsed == Person(name="Ada")
    assert '"title": "Person"' in json.dumps(input_of_last(site)).replace("\\", "")
    [run] = history(site)
    assert run["parameters"]["prompted_format"] is True
    assert run["finish_reason"] == "stop"


def test_what_is_no_json_is_not_mended_and_said_to_be_none(
    site: Site, client: OpenAI
) -> None:
    fenced = f"```json\n{ADA}\n```"
    site.replicate.rule(deltas=[fenced], times=2)

    with pytest.raises(ValidationError):
        client.chat.completions.parse(model=LLAMA, messages=WHO, response_format=Person)
    plain = client.chat.completions.create(
        model=LLAMA, messages=WHO, response_format={"type": "json_object"}
    )

    assert plain.choices[0].message.content == fenced
    assert plain.choices[0].finish_reason == "stop"
    assert [run["finish_reason"] for run in history(site, 2)] == 2 * ["not_json"]


def test_a_model_with_fields_for_them_gets_tools_their_results_and_a_form(
    site: Site, client: OpenAI
) -> None:
    site.replicate.rule(output={"text": None, "tool_calls": [CALL]})
    called = client.chat.completions.create(
        model=STRUCTURED, messages=WHO, tools=[TOOL], reasoning_effort="low"
    )
    message: Any = called.choices[0].message
    [call] = message.tool_calls
    asked = input_of_last(site)

    site.replicate.rule(output={"text": None, "json_output": json.loads(ADA)})
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "Ada"}
    done = client.chat.completions.parse(
        model=STRUCTURED,
        messages=[*WHO, message, result],
        tools=[],
        response_format=Person,
    )

    assert called.choices[0].finish_reason == "tool_calls"
    assert (call.id, call.function.arguments) == ("c1", "{}")
    assert (asked["prompt"], asked["reasoning_effort"]) == ("Who is it?", "low")
    assert [tool["name"] for tool in asked["tools"]] == ["look_up"]
    assert done.choices[0].message.parsed == Person(name="Ada")
    told = input_of_last(site)
    assert [each.get("type", "message") for each in told["input_item_list"]] == [
        "message",
        "function_call",
        "function_call_output",
    ]
    assert told["json_schema"]["format"]["name"] == "Person"
    assert "prompted_tools" not in history(site, 2)[1]["parameters"]


def looking(prompt: str) -> list[Any]:
    image = {"type": "image_url", "image_url": {"url": data_url(png())}}
    return [{"role": "user", "content": [{"type": "text", "text": prompt}, image]}]


def test_a_model_with_a_field_for_images_sees_them(site: Site, client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=STRUCTURED, messages=looking("A cat")
    )

    assert completion.choices[0].message.content == "A cat"
    assert input_of_last(site) == {"prompt": "A cat", "image_input": [data_url(png())]}


def test_a_llama_refuses_images_by_name(site: Site, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot look at images") as caught:
        client.chat.completions.create(model=LLAMA, messages=looking("A cat"))

    assert caught.value.param == "messages[0].content[1].image_url"
    assert site.replicate.known()["predictions"] == []


@pytest.mark.parametrize(
    ("model", "more", "param"),
    [
        (SIX_INPUTS, {"stop": "a"}, "stop"),
        (LLAMA, {"seed": 1}, "seed"),
        (LLAMA, {"max_tokens": 200_000}, "max_tokens"),
        (STRUCTURED, {"reasoning_effort": "most"}, "reasoning_effort"),
        (STRUCTURED, {"temperature": 0.5}, "temperature"),
        ("replicate:llamakeep/parrot", {"tools": [TOOL]}, "tools"),
        (
            "replicate:llamakeep/parrot",
            {"response_format": {"type": "json_object"}},
            "response_format",
        ),
    ],
)
def test_what_a_model_does_not_take_is_refused_by_name_and_not_stored(
    site: Site, client: OpenAI, model: str, more: dict[str, Any], param: str
) -> None:
    newest = history(site)

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=WHO, **more)

    assert refused.value.param == param
    assert site.replicate.known()["predictions"] == []
    assert history(site) == newest
