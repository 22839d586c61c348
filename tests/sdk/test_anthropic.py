"""Anthropic's own Python client, unchanged: messages, streams, tools, errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from tests.sdk.clients import anthropic_of, async_anthropic_of, history
from tests.sdk.site import ToolSite
from tests.tool_upstream import MODEL, SIGNED

BOTH = "Is Oslo colder than Bergen?"
ASKED: list[Any] = [{"role": "user", "content": BOTH}]
TOOLS: list[Any] = [
    {
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
]
WEATHER = {"Oslo": "-3", "Bergen": "7"}
ANSWER = "It is -3 and 7."
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture
def client(tool_site: ToolSite) -> Iterator[Anthropic]:
    with anthropic_of(tool_site) as client:
        yield client


@pytest.fixture
async def async_client(tool_site: ToolSite) -> AsyncIterator[AsyncAnthropic]:
    async with async_anthropic_of(tool_site) as client:
        yield client


def asking(said: str = "Hi", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": said}]
    return {"model": MODEL, "max_tokens": 200, "messages": messages} | fields


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def results_of(message: Any) -> Any:
    """Run the tools that were called."""
    return {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": block.id,
                "content": WEATHER[block.input["city"]],
            }
            for block in message.content
            if block.type == "tool_use"
        ],
    }


def check_kept(site: ToolSite) -> None:
    """Check that the upstream was told all of the loop, and the history has it."""
    [_, second] = site.upstream.asked
    user, assistant, *results = second["messages"]
    assert user == ASKED[0]
    assert [
        (one["id"], json.loads(one["function"]["arguments"]))
        for one in assistant["tool_calls"]
    ] == [(f"call_{city}", {"city": city}) for city in WEATHER]
    assert results == [
        {"role": "tool", "tool_call_id": f"call_{city}", "content": said}
        for city, said in WEATHER.items()
    ]
    answered, called = history(site, 2)
    assert [one["type"] for one in called["output"]] == [
        "reasoning",
        "tool_call",
        "tool_call",
    ]
    assert answered["response"] == ANSWER


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_tool_loop_has_two_turns_and_survives_a_kill_between_them(
    tool_site: ToolSite, client: Anthropic, *, is_streamed: bool, is_killed: bool
) -> None:
    def ask(messages: list[Any]) -> Any:
        asked = asking(messages=messages, tools=TOOLS, thinking=THINKING)
        if not is_streamed:
            return client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    called = ask(ASKED)
    if is_killed:
        tool_site.restart()
    done = ask([*ASKED, called.to_param(), results_of(called)])

    assert called.stop_reason == "tool_use"
    thinking, *calls = called.content
    assert (thinking.type, thinking.thinking) == ("thinking", f"They say: {BOTH}")
    assert [(one.name, one.input) for one in calls] == [
        ("get_weather", {"city": city}) for city in WEATHER
    ]
    assert (text_of(done), done.stop_reason) == (ANSWER, "end_turn")
    assert (done.usage.input_tokens, done.usage.output_tokens) == (20, 10)
    check_kept(tool_site)


def test_the_tool_runner_runs_the_tools(tool_site: ToolSite, client: Anthropic) -> None:
    @beta_tool
    def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        return WEATHER[city]

    runner = client.beta.messages.tool_runner(**asking(BOTH, tools=[get_weather]))
    last = runner.until_done()

    assert text_of(last) == ANSWER
    check_kept(tool_site)


def test_a_signature_goes_back_to_the_server_that_gave_it(
    tool_site: ToolSite, client: Anthropic
) -> None:
    signed = asking("A signed answer: is it cold in Oslo?", tools=TOOLS)
    with client.messages.stream(**signed) as stream:
        called = stream.get_final_message()
    said = [*signed["messages"], called.to_param(), results_of(called)]
    client.messages.create(**asking(messages=said, tools=TOOLS))

    kinds = [block.type for block in called.content]
    assert sorted(kinds) == ["redacted_thinking", "tool_use"]
    [call] = tool_site.upstream.asked[1]["messages"][1]["tool_calls"]
    assert call["extra_content"] == SIGNED["extra_content"]


def test_a_tool_that_fails_is_told_as_one(
    tool_site: ToolSite, client: Anthropic
) -> None:
    called = client.messages.create(**asking("Is it cold in Oslo?", tools=TOOLS))
    result = results_of(called)
    result["content"][0] |= {"content": "No network.", "is_error": True}
    messages = [*asking("Is it cold in Oslo?")["messages"], called.to_param(), result]

    done = client.messages.create(**asking(messages=messages, tools=TOOLS))

    assert text_of(done) == "It is Error: No network.."
    assert history(tool_site)[0]["last_message"]["parts"][0]["has_failed"] is True


def test_streams_have_text_thinking_and_input_as_they_come(client: Anthropic) -> None:
    texts, thoughts, inputs = "", "", []
    with client.messages.stream(**asking(thinking=THINKING)) as stream:
        for event in stream:
            if event.type == "text":
                texts += event.text
            elif event.type == "thinking":
                thoughts += event.thinking
    with client.messages.stream(**asking(BOTH, tools=TOOLS)) as stream:
        inputs = [
            event.content_block.input
            for event in stream
            if event.type == "content_block_stop"
            and event.content_block.type == "tool_use"
        ]
    with client.messages.stream(**asking()) as stream:
        said = "".join(stream.text_stream)

    assert (texts, thoughts, said) == ("Hello.", "They say: Hi", "Hello.")
    assert inputs == [{"city": "Oslo"}, {"city": "Bergen"}]


async def test_an_asynchronous_loop_may_send_each_step_again(
    tool_site: ToolSite, async_client: AsyncAnthropic
) -> None:
    async def ask(key: str, messages: list[Any]) -> Any:
        asked = asking(messages=messages, tools=TOOLS)
        headers = {"Idempotency-Key": f"anthropic-{key}"}
        return await async_client.messages.create(**asked, extra_headers=headers)

    called, again = [await ask("1", ASKED) for _ in range(2)]
    messages = [*ASKED, again.to_param(), results_of(again)]
    answers = [await ask("2", messages) for _ in range(2)]
    async with async_client.messages.stream(**asking()) as stream:
        streamed = await stream.get_final_text()

    assert called == again
    assert answers[0] == answers[1]
    assert text_of(answers[0]) == ANSWER
    assert streamed == "Hello."
    tool_site.upstream.asked.pop()
    answered, called = (await asyncio.to_thread(history, tool_site, 3))[1:]
    assert (answered["response"], len(called["output"])) == (ANSWER, 3)


async def test_pydantic_ai_calls_tools_by_anthropics_api(
    async_client: AsyncAnthropic,
) -> None:
    provider = AnthropicProvider(anthropic_client=async_client)
    agent = Agent(AnthropicModel(MODEL, provider=provider), system_prompt="Be brief.")

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        return WEATHER[city]

    whole = await agent.run(BOTH)
    async with agent.run_stream(BOTH) as stream:
        streamed = await stream.get_output()
    again = await agent.run(BOTH, message_history=whole.all_messages())

    assert whole.output == streamed == again.output == ANSWER


class Person(BaseModel):
    name: str
    age: int


def test_a_form_is_filled_in(tool_site: ToolSite, client: Anthropic) -> None:
    message = client.messages.parse(**asking("Who is Ada?", output_format=Person))

    assert message.parsed_output == Person(name="Ada", age=36)
    sent = tool_site.upstream.asked[0]["response_format"]
    assert sent["json_schema"]["schema"]["required"] == ["name", "age"]


def test_a_refusal_is_a_stop_reason(client: Anthropic) -> None:
    message = client.messages.create(**asking("How do I build a bomb?"))

    assert message.stop_reason == "refusal"
    assert text_of(message) == "I cannot help with that."


def test_models_are_listed_and_found(client: Anthropic) -> None:
    [model] = client.models.list(limit=1).data
    found = client.models.retrieve(model.id)

    assert model.id == found.id == f"openai:{MODEL}"


def test_errors_are_the_exceptions_of_the_library(
    tool_site: ToolSite, client: Anthropic
) -> None:
    create = client.messages.create
    called = create(**asking(BOTH, tools=TOOLS))
    unanswered = [*ASKED, called.to_param(), *ASKED]
    with pytest.raises(anthropic.BadRequestError) as refused:
        create(**asking(messages=unanswered, tools=TOOLS))
    with pytest.raises(anthropic.BadRequestError) as uncounted:
        client.messages.count_tokens(model=MODEL, messages=ASKED)
    with pytest.raises(anthropic.NotFoundError):
        create(**asking(model="local:none"))
    with (
        Anthropic(base_url=tool_site.origin, api_key="nobody", max_retries=0) as other,
        pytest.raises(anthropic.AuthenticationError) as unknown,
    ):
        other.messages.create(**asking())

    assert "'call_Oslo', 'call_Bergen'" in refused.value.message
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id is not None
    assert "cannot count the tokens" in uncounted.value.message
    assert unknown.value.type == "authentication_error"
