"""OpenAI's own Python client: parameters that are handed on, and what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.sdk.clients import openai_of
from tests.sdk.site import ToolSite
from tests.tool_upstream import MODEL, SIGNED, likely

HI: list[Any] = [{"role": "user", "content": "Hi"}]
SIGN: list[Any] = [{"role": "user", "content": "Oslo or Bergen? Have it signed."}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTIONS = [
    {"name": name, "description": "", "parameters": CITY, "strict": True}
    for name in ("get_weather", "get_time")
]
TOOLS: list[Any] = [{"type": "function", "function": each} for each in FUNCTIONS]
FLAT_TOOLS: list[Any] = [{"type": "function", **each} for each in FUNCTIONS]


@pytest.fixture
def client(strict_site: ToolSite) -> Iterator[OpenAI]:
    with openai_of(strict_site) as client:
        yield client


def test_parameters_reach_the_models_server_as_they_are(
    strict_site: ToolSite, client: OpenAI
) -> None:
    client.chat.completions.create(
        model=MODEL,
        messages=HI,
        logit_bias={"42": -100},
        service_tier="flex",
        prompt_cache_key="mine",
        user="ada",
        extra_body={
            "min_p": 0.05,
            "guided_json": CITY,
            "reasoning": {"max_tokens": 99, "effort": "low"},
        },
    )

    [asked] = strict_site.upstream.asked
    assert asked["logit_bias"] == {"42": -100}
    assert asked["service_tier"] == "flex"
    assert (asked["min_p"], asked["guided_json"]) == (0.05, CITY)
    assert asked["reasoning"] == {"max_tokens": 99, "effort": "low"}
    assert asked["user"] == "ada"
    assert "prompt_cache_key" not in asked


def test_an_unknown_parameter_is_refused_with_the_setting_that_lets_it_pass(
    strict_site: ToolSite, client: OpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=MODEL, messages=HI, extra_body={"repetition_penalty": 1.1}
        )

    assert (refused.value.param, refused.value.code) == (
        "repetition_penalty",
        "unknown_parameter",
    )
    assert "LLAMAKEEP_OPENAI_EXTRA_FIELDS" in refused.value.message
    assert strict_site.upstream.asked == []


def test_only_the_tools_that_are_allowed_are_told_of(
    strict_site: ToolSite, client: OpenAI
) -> None:
    named: Any = {"type": "function", "function": {"name": "get_time"}}
    client.chat.completions.create(
        model=MODEL,
        messages=HI,
        tools=TOOLS,
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [named]},
        },
    )
    choice: Any = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "get_time"}],
    }
    response = client.responses.create(
        model=MODEL, input="Hi", tools=FLAT_TOOLS, tool_choice=choice
    )

    chat, second = strict_site.upstream.asked
    assert chat["tools"] == second["tools"] == TOOLS[1:]
    assert (chat["tool_choice"], second["tool_choice"]) == ("required", "auto")
    assert len(response.tools) == 2
    assert response.model_dump()["tool_choice"] == choice


def test_likely_tokens_come_with_a_completion_and_its_chunks(client: OpenAI) -> None:
    wanted: Any = {"model": MODEL, "messages": HI, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**wanted)
    chunks = client.chat.completions.create(**wanted, stream=True)
    streamed = [
        token.model_dump()
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs is not None
        for token in choice.logprobs.content or ()
    ]
    plain = client.chat.completions.create(model=MODEL, messages=HI)

    [choice] = whole.choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert [one.model_dump() for one in choice.logprobs.content] == [
        likely("Hello.", 2)
    ]
    assert streamed == [likely("Hello.", 2)]
    assert client.chat.completions.retrieve(whole.id).choices == whole.choices
    assert plain.choices[0].logprobs is None


def test_likely_tokens_come_with_a_response_and_its_events(client: OpenAI) -> None:
    wanted: Any = {
        "model": MODEL,
        "input": "Hi",
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 1,
    }
    whole = client.responses.create(**wanted)
    events = list(client.responses.create(**wanted, stream=True))

    expected = [likely("Hello.", 1)]
    assert (whole.top_logprobs, whole.output_text) == (1, "Hello.")
    assert whole.output[-1].model_dump()["content"][0]["logprobs"] == expected
    deltas = [one for one in events if one.type == "response.output_text.delta"]
    assert [one.model_dump()["logprobs"] for one in deltas] == [expected]
    assert events[-1].type == "response.completed"
    [*_, message] = events[-1].response.output
    assert message.model_dump()["content"][0]["logprobs"] == expected


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_signature_of_a_call_is_handed_back_with_it(
    strict_site: ToolSite, client: OpenAI, *, is_streamed: bool
) -> None:
    if is_streamed:
        with client.chat.completions.stream(
            model=MODEL, messages=SIGN, tools=TOOLS
        ) as stream:
            answer: Any = stream.get_final_completion().choices[0].message
    else:
        called = client.chat.completions.create(model=MODEL, messages=SIGN, tools=TOOLS)
        answer = called.choices[0].message
    results: list[Any] = [
        {"role": "tool", "tool_call_id": each.id, "content": "-3"}
        for each in answer.tool_calls
    ]
    client.chat.completions.create(
        model=MODEL,
        messages=[*SIGN, answer.model_dump(exclude_none=True), *results],
        tools=TOOLS,
    )

    first, second = answer.tool_calls
    assert SIGNED.items() <= first.model_extra.items()
    _, told = strict_site.upstream.asked
    first, second = told["messages"][1]["tool_calls"]
    assert first["extra_content"] == SIGNED["extra_content"]
    assert "extra_content" not in second


@pytest.mark.parametrize("is_chained", [False, True])
def test_a_signature_of_a_call_is_handed_back_with_a_response(
    strict_site: ToolSite, client: OpenAI, *, is_chained: bool
) -> None:
    called = client.responses.create(
        model=MODEL,
        input=SIGN[0]["content"],
        tools=FLAT_TOOLS,
        include=["reasoning.encrypted_content"],
        store=is_chained,
    )
    strict_site.restart()
    results: list[Any] = [
        {"type": "function_call_output", "call_id": one.call_id, "output": "-3"}
        for one in called.output
        if one.type == "function_call"
    ]
    said: list[Any] = [*SIGN, *called.output, *results]
    answered = client.responses.create(
        model=MODEL,
        input=results if is_chained else said,
        tools=FLAT_TOOLS,
        previous_response_id=called.id if is_chained else None,
    )

    [sealed] = [
        one.encrypted_content
        for one in called.output
        if one.type == "reasoning" and one.encrypted_content
    ]
    assert json.loads(sealed)["extra_content"] == SIGNED["extra_content"]
    _, told = strict_site.upstream.asked
    first, _ = told["messages"][1]["tool_calls"]
    assert first["extra_content"] == SIGNED["extra_content"]
    assert answered.output_text == "It is -3 and -3."


def test_a_response_shows_again_what_was_asked_for(client: OpenAI) -> None:
    wanted: Any = {
        "max_tool_calls": 3,
        "prompt_cache_key": "mine",
        "safety_identifier": "user-7",
        "service_tier": "flex",
        "truncation": "auto",
        "presence_penalty": 0.5,
    }
    response = client.responses.create(
        model=MODEL,
        input="Hi",
        background=True,
        reasoning={"effort": "low", "summary": "auto"},
        extra_body=wanted | {"client_metadata": {"session": "1"}},
    )
    shown = client.responses.retrieve(response.id).model_dump()

    assert wanted.items() <= shown.items()
    assert (shown["background"], shown["temperature"], shown["top_p"]) == (True, 1, 1)
    assert {"effort": "low", "summary": "auto"}.items() <= shown["reasoning"].items()
