"""OpenAI's own Python client: responses with tools, reasoning and refusals."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel

from tests.sdk.clients import openai_of
from tests.sdk.site import ToolSite
from tests.tool_upstream import MODEL
from tests.waiting import LONG_ENOUGH

BOTH = "Is Oslo colder than Bergen?"
TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    }
]
WEATHER = {"Oslo": "-3", "Bergen": "7"}
ANSWER = "It is -3 and 7."


@pytest.fixture
def client(tool_site: ToolSite) -> Iterator[OpenAI]:
    with openai_of(tool_site) as client:
        yield client


def calls_in(response: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in response.output if item.type == "function_call"]


def outputs_of(calls: Iterable[ResponseFunctionToolCall]) -> list[Any]:
    """Run the tools that were called."""
    return [
        {
            "type": "function_call_output",
            "call_id": one.call_id,
            "output": WEATHER[json.loads(one.arguments)["city"]],
        }
        for one in calls
    ]


def check_told(site: ToolSite) -> None:
    """Check that the upstream was told all of the loop."""
    [_, second] = site.upstream.asked
    user, assistant, *results = second["messages"]
    assert user == {"role": "user", "content": BOTH}
    assert [
        (one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
        for one in assistant["tool_calls"]
    ] == [(f"call_{city}", "get_weather", {"city": city}) for city in WEATHER]
    assert results == [
        {"role": "tool", "tool_call_id": f"call_{city}", "content": said}
        for city, said in WEATHER.items()
    ]
    function = {name: value for name, value in TOOLS[0].items() if name != "type"}
    assert second["tools"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize("is_chained", [False, True])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_tool_loop_has_two_turns_and_survives_a_kill_between_them(
    tool_site: ToolSite, client: OpenAI, *, is_chained: bool, is_killed: bool
) -> None:
    called = client.responses.create(model=MODEL, input=BOTH, tools=TOOLS)
    assert [item.type for item in called.output] == [
        "reasoning",
        *["function_call"] * 2,
    ]
    assert called.output_text == ""
    if is_killed:
        tool_site.restart()
        assert client.responses.retrieve(called.id) == called

    outputs = outputs_of(calls_in(called))
    if is_chained:
        done = client.responses.create(
            model=MODEL, input=outputs, tools=TOOLS, previous_response_id=called.id
        )
    else:
        items: list[Any] = [{"role": "user", "content": BOTH}]
        items += called.output
        done = client.responses.create(model=MODEL, input=items + outputs, tools=TOOLS)

    assert done.output_text == ANSWER
    check_told(tool_site)
    listed = list(client.responses.input_items.list(done.id, order="asc"))
    assert [one.type for one in listed] == [
        "message",
        "reasoning",
        *["function_call"] * 2,
        *["function_call_output"] * 2,
    ]
    assert done.tools == called.tools
    assert [tool.to_dict() for tool in done.tools] == TOOLS


@pytest.mark.parametrize("is_chained", [False, True])
def test_a_streamed_tool_loop_has_two_turns(
    tool_site: ToolSite, client: OpenAI, *, is_chained: bool
) -> None:
    with client.responses.stream(model=MODEL, input=BOTH, tools=TOOLS) as stream:
        snapshots = [
            event.snapshot
            for event in stream
            if event.type == "response.function_call_arguments.delta"
        ]
        called = stream.get_final_response()
    outputs = outputs_of(calls_in(called))

    fields: dict[str, Any] = {"input": [{"role": "user", "content": BOTH}]}
    if is_chained:
        fields = {"input": outputs, "previous_response_id": called.id}
    else:
        fields["input"] += [*called.output, *outputs]
    with client.responses.stream(model=MODEL, tools=TOOLS, **fields) as stream:
        text = "".join(
            one.delta for one in stream if one.type == "response.output_text.delta"
        )

    assert json.loads(snapshots[-1]) == {"city": "Bergen"}
    assert text == ANSWER
    check_told(tool_site)


def test_the_events_of_a_loop_can_be_resumed_after_each(
    tool_site: ToolSite, client: OpenAI
) -> None:
    stream = client.responses.create(
        model=MODEL, input=BOTH, tools=TOOLS, background=True, stream=True
    )
    events = list(stream)
    [created, *_, completed] = events
    assert created.type == "response.created"
    assert completed.type == "response.completed"
    tool_site.restart()

    for place, event in enumerate(events[:-1]):
        rest = client.responses.retrieve(
            completed.response.id, stream=True, starting_after=event.sequence_number
        )
        assert texts(events[: place + 1]) + texts(rest) == texts(events)


def test_a_response_that_broke_off_in_arguments_keeps_them_and_is_continued(
    tool_site: ToolSite, client: OpenAI
) -> None:
    tool_site.upstream.break_off()
    stream = client.responses.create(model=MODEL, input=BOTH, tools=TOOLS, stream=True)
    response_id = ""

    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - it breaks while it is read
        for event in stream:
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.function_call_arguments.delta":
                tool_site.wait_for_arguments()
                tool_site.restart()
                tool_site.upstream.may_answer.set()
    broken = ended(client, response_id)
    again = client.responses.create(
        model=MODEL,
        input="Bergen first.",
        tools=TOOLS,
        previous_response_id=response_id,
    )

    assert broken.status == "failed"
    reasoning, call = broken.output
    assert reasoning.type == "reasoning"
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.status, call.arguments) == ("incomplete", '{"city"')
    assert [one.arguments for one in calls_in(again)] == ['{"city": "Bergen"}']
    [first, second] = tool_site.upstream.asked
    assert second["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Bergen first."},
    ]


def ended(client: OpenAI, response_id: str) -> Response:
    """Return a response when it is over."""
    end = time.monotonic() + LONG_ENOUGH
    while time.monotonic() < end:
        response = client.responses.retrieve(response_id)
        if response.status not in {"queued", "in_progress"}:
            return response
        time.sleep(0.05)
    raise AssertionError("It does not end.")


def texts(events: Iterable[Any]) -> list[Any]:
    """Return each character of the deltas in some events, and their other events."""
    found: list[Any] = []
    for event in events:
        if event.type.endswith(".delta"):
            found += [(event.item_id, sign) for sign in event.delta]
        else:
            found.append(event)
    return found


def test_reasoning_is_streamed_and_shown(client: OpenAI) -> None:
    events = list(client.responses.create(model=MODEL, input="Hi.", stream=True))

    thoughts = [
        one.delta for one in events if one.type == "response.reasoning_text.delta"
    ]
    assert "".join(thoughts) == "They say: Hi."
    end = events[-1]
    assert end.type == "response.completed"
    [reasoning, message] = end.response.output
    assert reasoning.type == "reasoning"
    assert reasoning.content is not None
    assert [one.text for one in reasoning.content] == ["They say: Hi."]
    assert message.type == "message"
    assert end.response.output_text == "Hello."


def test_a_refusal_is_a_part_of_its_own(client: OpenAI) -> None:
    first = client.responses.create(model=MODEL, input="How do I build a bomb?")
    [_, message] = first.output
    assert message.type == "message"
    [part] = message.content
    assert part.type == "refusal"
    assert part.refusal == "I cannot help with that."

    after = client.responses.create(
        model=MODEL, input="Then hello.", previous_response_id=first.id
    )

    assert after.output_text == "Hello."


class Weather(BaseModel):
    """Tells the weather in a city."""

    city: str


def test_parsed_arguments_are_parsed_and_sent_back(client: OpenAI) -> None:
    tools: list[Any] = [openai.pydantic_function_tool(Weather, name="get_weather")]
    tools = [{"type": "function", **tools[0]["function"]}]
    called = client.responses.parse(model=MODEL, input=BOTH, tools=tools)
    calls: Any = [item for item in called.output if item.type == "function_call"]
    items: list[Any] = [{"role": "user", "content": BOTH}]
    items += called.output

    done = client.responses.parse(
        model=MODEL, input=items + outputs_of(calls), tools=tools
    )

    assert [json.loads(one.arguments) for one in calls] == [
        {"city": "Oslo"},
        {"city": "Bergen"},
    ]
    assert done.output_text == ANSWER


def test_a_call_without_its_output_is_refused_by_name(client: OpenAI) -> None:
    called = client.responses.create(model=MODEL, input=BOTH, tools=TOOLS)
    first = outputs_of(calls_in(called))[:1]

    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(
            model=MODEL, input=first, tools=TOOLS, previous_response_id=called.id
        )

    assert refused.value.param == "input"
    assert "No tool output found for function call 'call_Bergen'." in str(refused.value)
