"""Messages and parameters as OpenAI-compatible servers read them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, Reasoning, Refusal, Text, ToolCall
from llamakeep.domain.messages import Part, ToolResult, message_of
from llamakeep.errors import ContextLengthExceeded, PromptRejected
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.openai.requests import request_body
from tests.providers.asking import ask, asked, request
from tests.providers.stub_server import DONE, END, STOP, Line, delta, head, whole

CALL = ToolCall("a", "f", '{"x": 1}')
SENT_CALL = {
    "id": "a",
    "type": "function",
    "function": {"name": "f", "arguments": '{"x": 1}'},
}


def sent(*messages: Message) -> Any:
    return request_body(replace(request(), messages=messages))["messages"]


def said(*parts: Any) -> Any:
    """Return what is sent of an assistant's message."""
    [message] = sent(message_of("assistant", parts))
    assert message.pop("role") == "assistant"
    return message


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ([Text("Hi")], {"content": "Hi"}),
        ([Text("H"), Text("i")], {"content": "Hi"}),
        ([Reasoning("hm"), Text("Hi")], {"content": "Hi"}),
        ([Reasoning("hm")], {"content": ""}),
        ([CALL], {"content": None, "tool_calls": [SENT_CALL]}),
        (
            [Text("See."), CALL, replace(CALL, call_id="b")],
            {"content": "See.", "tool_calls": [SENT_CALL, SENT_CALL | {"id": "b"}]},
        ),
        ([Reasoning("hm"), CALL], {"content": None, "tool_calls": [SENT_CALL]}),
        ([Refusal("No.")], {"content": None, "refusal": "No."}),
        ([Text("Well."), Refusal("No.")], {"content": "Well.", "refusal": "No."}),
    ],
)
def test_an_earlier_answer_has_the_fields_of_its_items(parts: Any, fields: Any) -> None:
    assert said(*parts) == fields


def test_arguments_are_handed_back_as_the_model_wrote_them() -> None:
    for text in ("", "{", "no json"):
        [call] = said(ToolCall("a", "f", text))["tool_calls"]
        assert call["function"]["arguments"] == text


def test_each_tool_result_is_a_message_of_its_own() -> None:
    results = [ToolResult("a", "1"), ToolResult("b", "")]

    assert sent(message_of("tool", results)) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
    ]


def test_what_a_user_says_beside_tool_results_follows_them() -> None:
    parts: list[Part] = [Text("Go "), ToolResult("a", "1"), Text("on.")]

    assert sent(message_of("user", parts, "ann")) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "user", "content": "Go on.", "name": "ann"},
    ]


def test_names_are_handed_on() -> None:
    messages = [
        Message("user", "Hi", "ann"),
        message_of("assistant", [CALL], "bot"),
        message_of("tool", [ToolResult("a", "1")], "f"),
    ]

    assert [each["name"] for each in sent(*messages)] == ["ann", "bot", "f"]


def test_calls_without_a_result_are_left_out_of_what_follows() -> None:
    other = replace(CALL, call_id="b")
    called = message_of("assistant", [Reasoning("hm"), CALL, other])
    result = message_of("tool", [ToolResult("b", "1")])
    late = message_of("tool", [ToolResult("a", "1")])

    [first, then, *_] = sent(called, Message("user", "So?"))
    assert first == {"role": "assistant", "content": ""}
    assert then == {"role": "user", "content": "So?"}
    [first, *_] = sent(called, result, Message("user", "So?"), late)
    assert [each["id"] for each in first["tool_calls"]] == ["b"]
    [first, *_] = sent(called, result, late)
    assert [each["id"] for each in first["tool_calls"]] == ["a", "b"]


async def test_a_tool_loop_arrives_as_it_was() -> None:
    function = {"name": "f", "parameters": {"type": "object"}}
    choice = {"type": "function", "function": {"name": "f"}}
    parameters = Parameters(
        tools=({"type": "function", "function": function},),
        tool_choice=choice,
        parallel_tool_calls=False,
        response_format={"type": "json_object"},
        reasoning_effort="low",
        verbosity="high",
    )
    messages = [
        Message("user", "Add."),
        message_of("assistant", [CALL]),
        message_of("tool", [ToolResult("a", "1")]),
    ]
    script = (head(), delta("1"), STOP, DONE, END)
    async with asked(*script) as (stub, provider):
        await ask(provider, replace(request(parameters=parameters), messages=messages))

    heard = stub.heard[0].json
    assert heard["messages"] == [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": None, "tool_calls": [SENT_CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    assert {name: heard[name] for name in parameters.given()} == {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "verbosity": "high",
    }


ANSWER = (head(), delta("1"), STOP, DONE, END)
TOO_LONG = whole(400, {"error": {"code": "context_length_exceeded", "message": "no"}})


async def test_the_older_half_is_left_out_until_the_rest_fits() -> None:
    turns = [
        message
        for number in range(8)
        for message in (Message("user", f"{number}"), Message("assistant", "Yes."))
    ]
    messages = [Message("system", "Be brief."), *turns, Message("user", "So?")]
    parameters = Parameters(truncation="auto")
    long = replace(request(parameters=parameters), messages=messages)
    async with asked() as (stub, provider):
        stub.scripts.extend([[TOO_LONG], [TOO_LONG], ANSWER])
        await ask(provider, long)

    told = [[one["content"] for one in each.json["messages"]] for each in stub.heard]
    assert [len(each) for each in told] == [18, 8, 4]
    assert {(each[0], each[-1]) for each in told} == {("Be brief.", "So?")}
    assert [each[1] for each in told] == ["0", "5", "7"]
    assert "truncation" not in stub.heard[0].json


@pytest.mark.parametrize(
    ("messages", "truncation"),
    [
        ([Message("user", "1"), Message("assistant", "2"), Message("user", "3")], None),
        ([Message("system", "1"), Message("user", "3")], "auto"),
        (
            [
                Message("user", "1"),
                message_of("assistant", [CALL]),
                message_of("tool", [ToolResult("a", "1")]),
            ],
            "auto",
        ),
    ],
)
async def test_what_cannot_be_shortened_is_refused(
    messages: list[Message], truncation: str | None
) -> None:
    parameters = Parameters(truncation=truncation)
    async with asked(TOO_LONG) as (stub, provider):
        with pytest.raises(ContextLengthExceeded):
            await ask(
                provider, replace(request(parameters=parameters), messages=messages)
            )

    assert len(stub.heard) == 1


async def test_other_servers_fields_change_nothing_that_is_known() -> None:
    parameters = Parameters(
        temperature=0.5, extra_fields={"min_p": 0.1, "model": "x", "temperature": 2}
    )
    async with asked(*ANSWER) as (stub, provider):
        await ask(provider, request(parameters=parameters))

    [heard] = stub.heard
    assert heard.json["min_p"] == 0.1
    assert (heard.json["model"], heard.json["temperature"]) == ("parrot", 0.5)
    assert "extra_fields" not in heard.json


THOUGHT = message_of("assistant", [Reasoning("hm"), CALL])
SEALED = Reasoning(sealed='{"extra_content":{"s":"x"},"call_id":"a"}')
RESULT = message_of("tool", [ToolResult("a", "1")])
MISSING = whole(
    400, {"error": {"message": "Missing `reasoning_content` in the message at index 1"}}
)
UNKNOWN = whole(
    422, {"detail": [{"loc": ["body", "reasoning_content"], "msg": "Extra inputs: no"}]}
)


def asked_again() -> CompletionRequest:
    messages = [Message("user", "Add."), THOUGHT, RESULT]
    return replace(request(), messages=messages)


async def thoughts_sent(*scripts: Sequence[Line]) -> list[str | None]:
    """Return which reasoning is sent with a tool's result, until two are answered."""
    async with asked() as (stub, provider):
        stub.scripts.extend(scripts)
        for _ in range(2):
            assert (await ask(provider, asked_again())).text == "1"
    sent = [each.json["messages"][1] for each in stub.heard]
    return [each.get("reasoning_content") for each in sent]


async def test_a_server_that_refuses_its_signatures_is_not_sent_them_again() -> None:
    refusal = whole(400, {"error": {"message": "Unknown name `extra_content`"}})
    sealed = message_of("assistant", [SEALED, CALL])
    messages = [Message("user", "Add."), sealed, RESULT]
    async with asked() as (stub, provider):
        stub.scripts.extend([[refusal], ANSWER, ANSWER])
        for _ in range(2):
            await ask(provider, replace(request(), messages=messages))

    sent = [each.json["messages"][1]["tool_calls"] for each in stub.heard]
    assert sent == [
        [SENT_CALL | {"extra_content": {"s": "x"}}],
        [SENT_CALL],
        [SENT_CALL],
    ]


async def test_reasoning_is_not_handed_back() -> None:
    assert await thoughts_sent(ANSWER, ANSWER) == [None, None]


async def test_a_model_that_misses_its_reasoning_is_sent_it_from_then_on() -> None:
    sent = await thoughts_sent([MISSING], ANSWER, ANSWER)

    assert sent == [None, "hm", "hm"]


async def test_a_model_that_refuses_its_reasoning_later_is_not_sent_it() -> None:
    sent = await thoughts_sent([MISSING], ANSWER, [UNKNOWN], ANSWER)

    assert sent == [None, "hm", "hm", None]


async def test_a_model_that_wants_reasoning_and_refuses_it_is_asked_twice() -> None:
    async with asked(UNKNOWN) as (stub, provider):
        stub.scripts.append([MISSING])
        with pytest.raises(PromptRejected, match="reasoning_content"):
            await ask(provider, asked_again())

    assert len(stub.heard) == 2


async def test_answers_without_reasoning_are_sent_with_a_blank_one() -> None:
    messages = [Message("assistant", "2"), Message("user", "Add."), THOUGHT, RESULT]
    async with asked(*ANSWER) as (stub, provider):
        stub.scripts.append([MISSING])
        await ask(provider, replace(request(), messages=messages))

    sent = stub.heard[1].json["messages"]
    assert [each.get("reasoning_content") for each in sent] == [" ", None, "hm", None]


async def test_without_an_earlier_answer_a_refusal_for_reasoning_is_one() -> None:
    async with asked(MISSING) as (stub, provider):
        with pytest.raises(PromptRejected, match="reasoning_content"):
            await ask(provider)

    assert len(stub.heard) == 1
