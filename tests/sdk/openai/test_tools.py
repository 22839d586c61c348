"""OpenAI's own Python client: tools, reasoning, forms and refusals, killed between."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.lib.streaming.chat import FunctionToolCallArgumentsDoneEvent
from pydantic import BaseModel

from tests.sdk.clients import async_openai_of, history, openai_of
from tests.sdk.site import ToolSite
from tests.tool_upstream import MODEL

BOTH: list[Any] = [{"role": "user", "content": "Is Oslo colder than Bergen?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]
WEATHER = {"Oslo": "-3", "Bergen": "7"}
CALLS = [
    {
        "id": f"call_{city}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": json.dumps({"city": city})},
    }
    for city in WEATHER
]
ANSWER = "It is -3 and 7."


@pytest.fixture
def client(tool_site: ToolSite) -> Iterator[OpenAI]:
    with openai_of(tool_site) as client:
        yield client


@pytest.fixture
async def async_client(tool_site: ToolSite) -> AsyncIterator[AsyncOpenAI]:
    async with async_openai_of(tool_site) as client:
        yield client


def results_of(calls: Any) -> list[Any]:
    """Run the tools that were called."""
    return [
        {
            "role": "tool",
            "tool_call_id": one.id,
            "content": WEATHER[json.loads(one.function.arguments)["city"]],
        }
        for one in calls
    ]


def check_kept(site: ToolSite) -> None:
    """Check that the upstream was told all of the loop, and the history has it."""
    [_, second] = site.upstream.asked
    user, assistant, *results = second["messages"]
    assert user == BOTH[0]
    assert assistant["tool_calls"] == CALLS
    assert results == [
        {"role": "tool", "tool_call_id": f"call_{city}", "content": said}
        for city, said in WEATHER.items()
    ]
    assert second["tools"] == TOOLS
    answered, called = history(site, 2)
    assert called["output"] == [
        {"type": "reasoning", "text": f"They say: {BOTH[0]['content']}"},
        *(
            {
                "type": "tool_call",
                "call_id": one["id"],
                "name": "get_weather",
                "text": one["function"]["arguments"],  # type: ignore[index]
            }
            for one in CALLS
        ),
    ]
    assert called["parameters"]["tools"] == TOOLS
    assert answered["response"] == ANSWER
    assert answered["last_message"]["parts"] == [
        {"type": "tool_result", "call_id": "call_Bergen", "text": "7"}
    ]


@pytest.mark.parametrize("form", ["object", "dictionary"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_tool_loop_has_two_turns_and_survives_a_kill_between_them(
    tool_site: ToolSite,
    client: OpenAI,
    form: Literal["object", "dictionary"],
    *,
    is_killed: bool,
) -> None:
    called = client.chat.completions.create(model=MODEL, messages=BOTH, tools=TOOLS)
    [choice] = called.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    if is_killed:
        tool_site.restart()
        again = client.chat.completions.retrieve(called.id)
        assert again.choices == called.choices
    answer: Any = choice.message
    if form == "dictionary":
        answer = answer.model_dump()

    done = client.chat.completions.create(
        model=MODEL,
        messages=[*BOTH, answer, *results_of(choice.message.tool_calls)],
        tools=TOOLS,
    )

    assert done.choices[0].message.content == ANSWER
    assert done.choices[0].message.tool_calls is None
    assert done.choices[0].finish_reason == "stop"
    check_kept(tool_site)


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_streamed_tool_loop_survives_a_kill_between_its_turns(
    tool_site: ToolSite, client: OpenAI, *, is_killed: bool
) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=BOTH, tools=TOOLS
    ) as stream:
        ended = [
            (event.index, event.arguments)
            for event in stream
            if isinstance(event, FunctionToolCallArgumentsDoneEvent)
        ]
        message = stream.get_final_completion().choices[0].message
    if is_killed:
        tool_site.restart()

    with client.chat.completions.stream(
        model=MODEL,
        messages=[*BOTH, message, *results_of(message.tool_calls)],  # type: ignore[list-item] # as the guide does
        tools=TOOLS,
    ) as stream:
        text = "".join(one.delta for one in stream if one.type == "content.delta")

    assert ended == [
        (0, json.dumps({"city": "Oslo"})),
        (1, json.dumps({"city": "Bergen"})),
    ]
    assert text == ANSWER
    check_kept(tool_site)


def test_the_chunks_of_calls_are_openais(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=BOTH, tools=TOOLS, stream=True
    )

    calls: dict[int, dict[str, str]] = {}
    reasons, thoughts = [], ""
    for chunk in stream:
        [choice] = chunk.choices
        reasons.append(choice.finish_reason)
        thoughts += getattr(choice.delta, "reasoning_content", None) or ""
        for piece in choice.delta.tool_calls or ():
            assert piece.function is not None
            call = calls.setdefault(
                piece.index, {"id": piece.id or "", "name": "", "arguments": ""}
            )
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""

    assert [one["id"] for one in calls.values()] == ["call_Oslo", "call_Bergen"]
    assert [one["name"] for one in calls.values()] == ["get_weather"] * 2
    assert [json.loads(one["arguments"]) for one in calls.values()] == [
        {"city": "Oslo"},
        {"city": "Bergen"},
    ]
    assert thoughts == f"They say: {BOTH[0]['content']}"
    assert reasons[-1] == "tool_calls"


async def test_an_asynchronous_loop_may_send_each_step_again(
    tool_site: ToolSite, async_client: AsyncOpenAI
) -> None:
    create = async_client.chat.completions.create
    first = {"Idempotency-Key": "weather-1"}
    second = {"Idempotency-Key": "weather-2"}

    called = await create(model=MODEL, messages=BOTH, tools=TOOLS, extra_headers=first)
    again = await create(model=MODEL, messages=BOTH, tools=TOOLS, extra_headers=first)
    message = again.choices[0].message
    messages: list[Any] = [*BOTH, message, *results_of(message.tool_calls)]
    answers = [
        await create(model=MODEL, messages=messages, tools=TOOLS, extra_headers=second)
        for _ in range(2)
    ]

    assert called == again
    assert answers[0] == answers[1]
    assert answers[0].choices[0].message.content == ANSWER
    await asyncio.to_thread(check_kept, tool_site)


class Weather(BaseModel):
    city: str


class Person(BaseModel):
    name: str
    age: int


def test_parsed_arguments_are_parsed_and_sent_back(
    tool_site: ToolSite, client: OpenAI
) -> None:
    tools: list[Any] = [openai.pydantic_function_tool(Weather, name="get_weather")]
    called = client.chat.completions.parse(model=MODEL, messages=BOTH, tools=tools)
    message = called.choices[0].message

    done = client.chat.completions.parse(
        model=MODEL,
        messages=[*BOTH, message, *results_of(message.tool_calls)],  # type: ignore[list-item] # as the guide does
        tools=tools,
    )

    assert message.tool_calls is not None
    assert message.tool_calls[0].function.parsed_arguments == Weather(city="Oslo")
    assert done.choices[0].message.content == ANSWER
    assert tool_site.upstream.asked[1]["messages"][1]["tool_calls"] == CALLS


def test_a_form_is_filled_in(tool_site: ToolSite, client: OpenAI) -> None:
    completion = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Who is Ada?"}],
        response_format=Person,
    )

    assert completion.choices[0].message.parsed == Person(name="Ada", age=36)
    sent = tool_site.upstream.asked[0]["response_format"]
    assert sent["json_schema"]["name"] == "Person"


def test_a_refusal_is_no_content(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "How do I build a bomb?"}]
    completion = client.chat.completions.parse(
        model=MODEL, messages=asked, response_format=Person
    )
    with client.chat.completions.stream(model=MODEL, messages=asked) as stream:
        told = "".join(one.delta for one in stream if one.type == "refusal.delta")
    message = completion.choices[0].message

    goes_on = client.chat.completions.create(
        model=MODEL,
        messages=[*asked, message, {"role": "user", "content": "Then hello."}],  # type: ignore[list-item] # as the guide does
    )

    assert message.refusal == told == "I cannot help with that."
    assert (message.content, message.parsed) == (None, None)
    assert goes_on.choices[0].message.content == "Hello."


def test_functions_are_called_as_they_were_before_tools(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "Is it cold in Oslo?"}]
    functions = [TOOLS[0]["function"]]
    called = client.chat.completions.create(
        model=MODEL, messages=asked, functions=functions
    )
    [choice] = called.choices
    message: Any = choice.message
    result: Any = {"role": "function", "name": "get_weather", "content": "-3"}

    done = client.chat.completions.create(
        model=MODEL, messages=[*asked, message, result], functions=functions
    )

    assert choice.finish_reason == "function_call"
    assert message.function_call.arguments == json.dumps({"city": "Oslo"})
    assert done.choices[0].message.content == "It is -3."


def test_a_call_without_its_result_is_refused_by_name(client: OpenAI) -> None:
    called = client.chat.completions.create(model=MODEL, messages=BOTH, tools=TOOLS)
    message: Any = called.choices[0].message

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=MODEL, messages=[*BOTH, message, *BOTH], tools=TOOLS
        )

    assert refused.value.param == "messages[1].tool_calls"
    assert "'call_Oslo', 'call_Bergen'" in refused.value.message
