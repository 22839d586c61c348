"""Tool calls, reasoning and refusals in all the shapes in which servers send them."""

import asyncio
import json
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.domain import Item, Reasoning, Refusal, Text, ToolCall, Usage
from llamakeep.domain.messages import LONGEST_CALL_ID, LONGEST_NAME
from llamakeep.errors import ProviderAnswerInvalid, ProviderError, ProviderUnavailable
from llamakeep.providers.base import ItemBegun, ItemText
from llamakeep.providers.openai.chat_completions import CompletionReader
from llamakeep.providers.openai.chat_stream import ChatStream
from llamakeep.providers.openai.items import MOST_ITEMS, Growth
from tests.providers.asking import Answer, ask, asked
from tests.providers.stub_server import END, Then, event, head, whole

WHERE = '{"city": "Jeju"}'
WHEN = '{"day": 1}'
F, G = ToolCall("a", "f", WHERE), ToolCall("b", "g", WHEN)
MADE = "call_1_1", "call_1_2", "call_1_3"
"""The ids of calls that have none, in the run `run_1`."""


def call(arguments: Any = None, name: Any = None, **fields: Any) -> dict[str, Any]:
    """A delta of a tool call; what is `None` is left out."""
    function = {"arguments": arguments, "name": name}
    known = {key: value for key, value in function.items() if value is not None}
    return {"type": "function", "function": known, **fields}


def calls(*deltas: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(deltas)}


class Case(NamedTuple):
    """What a server says, and the items of it."""

    deltas: Sequence[dict[str, Any]]
    items: Sequence[Item]
    text: str = ""


F0 = call("", "f", index=0, id="a")
G1 = call("", "g", index=1, id="b")

CASES = {
    # As it should be.
    "one": Case(
        [
            {"role": "assistant", "content": None} | calls(F0),
            calls(call('{"city"', index=0)),
            calls(call(': "Jeju"}', index=0)),
        ],
        [F],
    ),
    "two": Case(
        [
            calls(F0),
            calls(call(WHERE, index=0)),
            calls(G1),
            calls(call(WHEN, index=1)),
        ],
        [F, G],
    ),
    "text, then a call": Case(
        [{"content": "Let me see."}, calls(F0), calls(call(WHERE, index=0))],
        [F],
        "Let me see.",
    ),
    "text behind a call": Case(
        [calls(F0), calls(call(WHERE, index=0)), {"content": "Done."}],
        [F, Text("Done.")],
        "Done.",
    ),
    "reasoning, then text": Case(
        [
            {"reasoning_content": "h", "content": None},
            {"reasoning_content": "m", "content": ""},
            {"content": "Hel"},
            {"content": "lo"},
            {"content": "!", "reasoning_content": None},
        ],
        [Reasoning("hm"), Text("Hello!")],
        "Hello!",
    ),
    "text, then reasoning, then text": Case(
        [{"content": "a"}, {"reasoning": "hm"}, {"content": "b"}],
        [Reasoning("hm"), Text("b")],
        "ab",
    ),
    "all in one": Case(
        [{"reasoning": "hm", "content": "See.", **calls(call(WHERE, "f", id="a"))}],
        [Reasoning("hm"), Text("See."), F],
        "See.",
    ),
    "refusal": Case(
        [{"refusal": "I can"}, {"refusal": "not."}],
        [Refusal("I cannot.")],
        "I cannot.",
    ),
    "refusal behind text": Case(
        [{"content": "Well. "}, {"refusal": "No.", "content": None}],
        [Refusal("No.")],
        "Well. No.",
    ),
    # Reasoning under other names.
    "thinking": Case([{"thinking": "hm"}], [Reasoning("hm")]),
    "reasoning details": Case(
        [
            {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        ],
        [
            Reasoning("hm"),
            Reasoning(
                sealed='{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}'
            ),
        ],
    ),
    "reasoning twice": Case(
        [{"reasoning": "hm", "reasoning_content": "hm"}], [Reasoning("hm")]
    ),
    "reasoning in parts": Case(
        [
            {"content": [{"type": "thinking", "thinking": [{"text": "h"}]}]},
            {
                "content": [
                    {"type": "thinking", "thinking": "m"},
                    {"type": "text", "text": "Hi"},
                    {"type": "refusal", "refusal": "No."},
                    {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
                ]
            },
        ],
        [
            Reasoning("hm"),
            Text("Hi"),
            Refusal("No."),
            ToolCall("a", "f", '{"x": 1}'),
        ],
        "HiNo.",
    ),
    # Numbers of calls.
    "no number, whole": Case(
        [calls(call(WHERE, "f", id="a")), calls(call(WHEN, "g", id="b"))], [F, G]
    ),
    "no number, in pieces": Case(
        [
            calls(call("", "f", id="a")),
            calls(call('{"city": ')),
            calls(call('"Jeju"}', id="a")),
            calls(call("", "g", id="b")),
            calls(call(WHEN)),
        ],
        [F, G],
    ),
    "no number, in one event": Case(
        [calls(call("", "f", id="a"), call("", "f", id="a"))],
        [ToolCall("a", "f"), ToolCall("a_2", "f")],
    ),
    "no number, in turns": Case(
        [
            calls(call("", "f", id="a"), call("", "g", id="b")),
            calls(call('{"city": ', id="a"), call('{"day"', id="b")),
            calls(call('"Jeju"}', id="a"), call(": 1}", id="b")),
        ],
        [F, G],
    ),
    "no number, id, then name": Case(
        [
            calls({"id": "a"}),
            calls(call(WHERE, "f")),
            calls({"id": "b"}),
            calls(call(None, "g")),
            calls(call(WHEN)),
        ],
        [F, G],
    ),
    "all number zero": Case(
        [
            calls(call(WHERE, "f", index=0, id="a")),
            calls(call(WHEN, "g", index=0, id="b")),
        ],
        [F, G],
    ),
    "all number zero, no ids, the same name": Case(
        [
            calls(call(WHERE, "f", index=0, id="")),
            calls(call(WHEN, "f", index=0, id="")),
            calls(call(WHEN, "f", index=0, id="")),
        ],
        [
            ToolCall(MADE[0], "f", WHERE),
            ToolCall(MADE[1], "f", WHEN),
            ToolCall(MADE[2], "f", WHEN),
        ],
    ),
    "numbers are strings": Case(
        [
            calls(call('{"city"', "f", index="0", id="a")),
            calls(call(': "Jeju"}', index="0")),
            calls(call(WHEN, "g", index="1", id="b")),
        ],
        [F, G],
    ),
    "numbers are floats": Case(
        [
            calls(call('{"city"', "f", index=0.0, id="a")),
            calls(call(': "Jeju"}', index=0.0)),
        ],
        [F],
    ),
    "numbers from one": Case(
        [
            calls(call(WHERE, "f", index=1, id="a")),
            calls(call(WHEN, "g", index=2, id="b")),
        ],
        [F, G],
    ),
    "the second first": Case(
        [
            calls(call('{"', "h", index=0, id="c")),
            calls(call(WHEN, "g", index=2, id="b")),
            calls(call(WHERE, "f", index=1, id="a")),
            calls(call('x": 0}', index=0)),
        ],
        [ToolCall("c", "h", '{"x": 0}'), F, G],
    ),
    "in turns": Case(
        [
            calls(F0, G1),
            calls(call('{"city"', index=0), call('{"day"', index=1)),
            {"content": "Both."},
            calls(call(': "Jeju"}', index=0), call(": 1}", index=1)),
        ],
        [F, G, Text("Both.")],
        "Both.",
    ),
    "numbers that count the pieces": Case(
        [
            calls(call('{"city"', "f", index=0, id="a")),
            calls(call(": ", index=1)),
            calls(call('"Jeju"}', index=2)),
            calls(call(WHEN, "g", index=3, id="b")),
        ],
        [F, G],
    ),
    # Ids.
    "an id in each": Case(
        [
            calls(call('{"city"', "f", index=0, id="a")),
            calls(call(': "Jeju"}', index=0, id="a")),
        ],
        [F],
    ),
    "another id in each": Case(
        [
            calls(call('{"city"', "f", index=0, id="a")),
            calls(call(': "Jeju"', index=0, id="x")),
            calls(call("}", index=0, id="y")),
        ],
        [F],
    ),
    "no ids": Case(
        [
            calls(call(WHERE, "f", index=0)),
            calls(call(WHEN, "g", index=1, id=None)),
        ],
        [ToolCall(MADE[0], "f", WHERE), ToolCall(MADE[1], "g", WHEN)],
    ),
    "the same id for two": Case(
        [
            calls(call(WHERE, "f", index=0, id="a")),
            calls(call(WHERE, "f", index=1, id="a")),
            calls(call(WHEN, "f", index=2, id="a_2")),
        ],
        [F, ToolCall("a_2", "f", WHERE), ToolCall("a_2_3", "f", WHEN)],
    ),
    "ids and names that are the word null": Case(
        [
            calls(call('{"city"', "f", index=0, id="a")),
            calls(call(': "Jeju"}', "null", index=0, id="null")),
        ],
        [F],
    ),
    # Names.
    "a name in pieces": Case(
        [
            calls(call("", "get_", index=0, id="a")),
            calls(call("", "weather", index=0)),
            calls(call(WHERE, index=0)),
        ],
        [ToolCall("a", "get_weather", WHERE)],
    ),
    "a growing name": Case(
        [
            calls(call("", "get_", index=0, id="a")),
            calls(call("", "get_weather", index=0)),
            calls(call(WHERE, index=0)),
        ],
        [ToolCall("a", "get_weather", WHERE)],
    ),
    "the name in each": Case(
        [
            calls(call("", "f", index=0, id="a")),
            calls(call('{"city"', "f", index=0)),
            calls(call(': "Jeju"}', "f", index=0)),
            calls(call(" ", "f", index=0)),
        ],
        [ToolCall("a", "f", WHERE + " ")],
    ),
    "the name last": Case(
        [calls(call(WHERE, index=0, id="a")), calls(call(None, "f", index=0))], [F]
    ),
    "a number and an id alone": Case(
        [calls(call("", index=0, id="a"), G1)], [ToolCall("b", "g")]
    ),
    # Arguments.
    "arguments are an object": Case(
        [calls(call({"city": "제주", "on": None}, "f", index=0, id="a"))],
        [ToolCall("a", "f", '{"city": "제주", "on": null}')],
    ),
    "arguments are null": Case(
        [calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": None}})],
        [ToolCall("a", "f")],
    ),
    "arguments are empty": Case(
        [calls(F0), calls(G1), calls(call(WHEN, index=1))],
        [ToolCall("a", "f"), G],
    ),
    "arguments are no JSON": Case(
        [calls(call("city=Jeju", "f", index=0, id="a")), calls(G1)],
        [ToolCall("a", "f", "city=Jeju"), ToolCall("b", "g")],
    ),
    "arguments are cut in an escape": Case(
        [
            calls(call('{"x": "\\', "f", index=0, id="a")),
            calls(call('"}"}', index=0)),
            calls(call(WHEN, "g", index=1, id="b")),
        ],
        [ToolCall("a", "f", '{"x": "\\"}"}'), G],
    ),
    "blanks behind a whole call": Case(
        [
            calls(call(WHERE, "f", index=0, id="a")),
            calls(call(WHEN, "g", index=1, id="b")),
            calls(call("\n", index=0)),
        ],
        [F, G],
    ),
    "a call said again": Case(
        [
            calls(call('{"city"', "f", index=0, id="a")),
            calls(call(': "Jeju"}', index=0)),
            calls(call(WHERE, "f", index=0, id="a")),
        ],
        [F],
    ),
    "a call said again, without its id": Case(
        [
            calls(call(WHERE, "f", index=0, id="a")),
            calls(call(WHERE, "f", index=0, id="")),
            calls(call(WHERE, index=0)),
        ],
        [F],
    ),
    "the older form": Case(
        [
            {"function_call": {"name": "f", "arguments": ""}},
            {"function_call": {"arguments": '{"city"'}},
            {"function_call": {"arguments": ': "Jeju"}'}},
        ],
        [ToolCall(MADE[0], "f", WHERE)],
    ),
    "both forms": Case(
        [
            calls(call(WHERE, "f", id="a"))
            | {"function_call": {"name": "f", "arguments": WHERE}}
        ],
        [F],
    ),
    "a custom tool": Case(
        [calls({"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}})],
        [ToolCall("a", "f", "x")],
    ),
    # What is no call.
    "nothing of a call": Case(
        [
            {"content": "Hi", "tool_calls": None},
            {"content": "!", "tool_calls": []},
            {"content": "", "tool_calls": [None, {}]},
            {"tool_calls": True, "function_call": "f"},
            {"tool_calls": [{"index": 0, "function": {"arguments": ""}}]},
        ],
        [],
        "Hi!",
    ),
    # Text that is none.
    "halves of pairs": Case(
        [
            {"reasoning": "x\ud83d"},
            {"reasoning": "\ude00y\ud83d"},
            {"content": "z\ud83d"},
            calls(call('{"\ud83d', "f\ud83d", index=0, id="a\0")),
            calls(call('\ude00"}\ud83d', index=0)),
        ],
        [
            Reasoning("x\U0001f600y\ufffd"),
            Text("z\ufffd"),
            ToolCall("a\ufffd", "f\ufffd", '{"\U0001f600"}\ufffd'),
        ],
        "z\ufffd",
    ),
    "half a pair, then a call": Case(
        [{"content": "\ud83d"}, calls(call(WHERE, "f", index=0, id="a"))],
        [F],
        "\ufffd",
    ),
    "nul in arguments": Case(
        [calls(call({"x\ud83d": "a\0"}, "f", index=0, id="a"), call("\0", index=0))],
        [ToolCall("a", "f", '{"x\ufffd": "a\\u0000"}\ufffd')],
    ),
}


def chunk(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return {"model": "m", "choices": [choice]}


def sent(value: Any) -> bytes:
    """An event in ASCII, which can have halves of pairs."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def body_of(deltas: Sequence[Any], finish: str | None = "tool_calls") -> bytes:
    last = [chunk({}, finish)] if finish else []
    return b"".join(map(sent, [*map(chunk, deltas), *last])) + b"data: [DONE]\n\n"


class Pieces:
    """A response whose body comes in some pieces."""

    is_read = True

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [*pieces]

    async def read(self) -> bytes | None:
        return self._pieces.pop(0) if self._pieces else None

    def header(self, name: str) -> str | None:
        del name
        return None


def reader() -> CompletionReader:
    return CompletionReader("It", run_id="run_1")


async def said_in(
    pieces: Sequence[bytes], *, into: Answer | None = None, by: Any = None
) -> Answer:
    answer = into if into is not None else Answer()
    stream = ChatStream(Pieces(pieces), by or reader(), "It")  # type: ignore[arg-type]
    while (growth := await stream.next()) is not None:
        answer.add(growth)
    return answer


@pytest.mark.parametrize("name", CASES)
async def test_what_a_server_says_becomes_items(name: str) -> None:
    case = CASES[name]

    answer = await said_in([body_of(case.deltas)])

    assert (answer.items, answer.text) == ([*case.items], case.text)


@pytest.mark.parametrize("name", CASES)
async def test_where_a_stream_is_cut_changes_nothing(name: str) -> None:
    body = body_of(CASES[name].deltas)

    answer = await said_in([body[at : at + 1] for at in range(len(body))])

    assert answer.items == [*CASES[name].items]


def message_of(items: Sequence[Item], text: str) -> dict[str, Any]:
    """A message as a server that does not stream sends it."""
    thoughts = [item.text for item in items if isinstance(item, Reasoning)]
    found = [item for item in items if isinstance(item, ToolCall)]
    return {
        "role": "assistant",
        "content": text or None,
        "reasoning_content": "".join(thoughts),
        "tool_calls": [call(it.text, it.name, id=it.call_id) for it in found],
    }


WHOLE = message_of([Reasoning("hm"), F, G], "See.")
ALL = [Reasoning("hm"), Text("See."), F, G]


async def test_a_whole_completion_has_the_same_items() -> None:
    completion = {"choices": [{"message": WHOLE, "finish_reason": "tool_calls"}]}
    async with asked(whole(200, completion)) as (_, provider):
        answer = await ask(provider)

    assert (answer.items, answer.text) == (ALL, "See.")
    assert answer.finished is not None
    assert answer.finished.finish_reason == "tool_calls"


@pytest.mark.parametrize("delta", [{}, None])
async def test_a_whole_message_behind_its_deltas_is_not_counted_twice(
    delta: dict[str, Any] | None,
) -> None:
    deltas = [
        {"reasoning": "hm"},
        {"content": "See."},
        calls(call(WHERE, "f", id="a")),
        calls(call(WHEN, "g", id="b")),
    ]
    last = chunk(delta, "tool_calls", message=WHOLE)

    answer = await said_in([b"".join(map(sent, [*map(chunk, deltas), last]))])

    assert answer.items == ALL


async def test_what_a_whole_message_has_more_than_its_deltas_is_read() -> None:
    last = chunk({}, "tool_calls", message=WHOLE)

    answer = await said_in([sent(chunk({"reasoning": "hm"})) + sent(last)])

    assert answer.items == ALL


async def test_whole_calls_with_the_same_id_are_kept_apart() -> None:
    message = message_of([F, F], "")
    completion = {"choices": [{"message": message, "finish_reason": "stop"}]}

    answer = await said_in([json.dumps(completion).encode()])

    assert answer.items == [F, ToolCall("a_2", "f", WHERE)]


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call", "length"])
async def test_the_finish_reason_is_kept_as_it_came(reason: str) -> None:
    script = [event(chunk(calls(call(WHERE, "f", id="a")))), event(chunk({}, reason))]
    async with asked(head(), *script, END) as (_, provider):
        answer = await ask(provider)

    assert answer.finished is not None
    assert answer.finished.finish_reason == reason
    assert answer.items == [F]


async def test_calls_behind_the_finish_reason_are_kept() -> None:
    events = [chunk({"content": "See."}, "stop"), chunk(calls(F0))]
    more = [chunk(calls(call(WHERE, index=0))), {"choices": [], "usage": USED}]
    read = reader()

    answer = await said_in([b"".join(map(sent, [*events, *more]))], by=read)

    assert (answer.items, answer.text) == ([F], "See.")
    assert read.finished().usage == Usage(5, 7)
    assert read.finished().finish_reason == "stop"


USED = {"prompt_tokens": 5, "completion_tokens": 7}


async def test_an_item_grows_while_the_server_is_still_talking() -> None:
    script = [
        {"reasoning": "h"},
        {"reasoning": "m"},
        {"content": "S"},
        {"content": "ee."},
        calls(F0),
        calls(call('{"city"', index=0)),
        calls(call(': "Jeju"}', index=0)),
        calls(G1),
        calls(call(WHEN, index=1)),
    ]
    stream = ChatStream(Pieces([sent(chunk(one)) for one in script]), reader(), "It")  # type: ignore[arg-type]
    growths: list[Growth | None] = [await stream.next() for _ in range(11)]

    assert growths == [
        ItemBegun(Reasoning()),
        ItemText("h"),
        ItemText("m"),
        ItemBegun(Text()),
        "S",
        "ee.",
        ItemBegun(ToolCall("a", "f")),
        ItemText('{"city"'),
        ItemText(': "Jeju"}'),
        ItemBegun(ToolCall("b", "g")),
        ItemText(WHEN),
    ]


async def test_text_does_not_wait_for_a_call_of_which_nothing_is_said() -> None:
    nothing = calls(call("", index=0))
    script = [{"content": word} | nothing for word in ("one", " two", " three")]
    stream = ChatStream(Pieces([sent(chunk(one)) for one in script]), reader(), "It")  # type: ignore[arg-type]

    assert [await stream.next() for _ in script] == ["one", " two", " three"]


@pytest.mark.parametrize("end", [(), (Then.RESET,), (event({"error": "on fire"}), END)])
async def test_arguments_that_break_off_are_kept_as_they_came(end: Any) -> None:
    script = [
        event(chunk(calls(F0))),
        event(chunk(calls(call('{"city', index=0)))),
        event(chunk(calls(call('{"da', "g", index=1, id="b")))),
    ]
    answer = Answer()
    async with asked(head(), *script, *end or (END,)) as (_, provider):
        with pytest.raises(ProviderError):
            await ask(provider, into=answer)

    assert answer.items == [ToolCall("a", "f", '{"city'), ToolCall("b", "g", '{"da')]


async def test_a_name_that_breaks_off_is_kept_as_it_came() -> None:
    answer = Answer()

    with pytest.raises(ProviderUnavailable):
        await said_in([sent(chunk(calls(call(None, "get_wea", id="a"))))], into=answer)

    assert answer.items == [ToolCall("a", "get_wea")]


async def test_a_call_whose_name_never_comes_ends_the_answer() -> None:
    answer = Answer()

    with pytest.raises(ProviderAnswerInvalid, match="a tool without saying which"):
        await said_in(
            [body_of([{"content": "Hi"}, calls(call(WHERE, index=0, id="a"))])],
            into=answer,
        )

    assert (answer.text, answer.items) == ("Hi", [])


async def test_a_call_that_breaks_off_before_its_name_is_left_out() -> None:
    answer = Answer()

    with pytest.raises(ProviderUnavailable):
        await said_in([sent(chunk(calls(call(WHERE, id="a"))))], into=answer)

    assert answer.items == []


async def test_the_calls_of_a_choice_with_another_number_are_kept() -> None:
    body = body_of([{"content": "See."}, calls(call(WHERE, "f", index=0, id="a"))])

    answer = await said_in([body.replace(b'[{"index": 0', b'[{"index": 1')])

    assert (answer.items, answer.text) == ([F], "See.")


@pytest.mark.parametrize(
    ("delta", "reason"),
    [
        (
            call("", "x" * (LONGEST_NAME + 1), index=0, id="a"),
            f"name of a tool of more than {LONGEST_NAME} ",
        ),
        (
            call("", "f", index=0, id="x" * (LONGEST_CALL_ID + 1)),
            f"tool call's id of more than {LONGEST_CALL_ID} ",
        ),
    ],
)
async def test_a_name_that_is_too_long_ends_the_answer(
    delta: dict[str, Any], reason: str
) -> None:
    answer = Answer()

    with pytest.raises(ProviderAnswerInvalid, match=reason):
        await said_in([body_of([{"content": "Hi"}, calls(delta)])], into=answer)

    assert answer.text == "Hi"


async def test_two_calls_of_the_longest_id_get_an_id_each() -> None:
    longest = "x" * LONGEST_CALL_ID
    pieces = [calls(call("{}", "f", index=n, id=longest)) for n in range(2)]
    answer = Answer()

    await said_in([body_of(pieces)], into=answer)

    assert answer.items == [
        ToolCall(longest, "f", "{}"),
        ToolCall(f"{longest[:-2]}_2", "f", "{}"),
    ]


async def test_a_name_that_never_ends_is_given_up() -> None:
    pieces = [calls(call(None, letter * 100, index=0)) for letter in "abcd"]
    answer = Answer()

    with pytest.raises(ProviderAnswerInvalid, match="name of a tool"):
        await said_in([body_of(pieces)], into=answer)

    # What is kept can be imported, and sent back in a conversation.
    [found] = answer.items
    assert isinstance(found, ToolCall)
    assert len(found.name) == LONGEST_NAME


async def test_countless_items_are_given_up_and_the_first_are_kept() -> None:
    deltas = [calls(call("{}", "f", index=at)) for at in range(2 * MOST_ITEMS)]
    answer = Answer()

    with pytest.raises(ProviderAnswerInvalid, match=f"more than {MOST_ITEMS} items"):
        await said_in([body_of(deltas)], into=answer)

    assert len(answer.items) == MOST_ITEMS
    assert (
        len({item.call_id for item in answer.items if isinstance(item, ToolCall)})
        == MOST_ITEMS
    )


async def test_more_of_a_call_that_was_complete_is_an_error() -> None:
    deltas = [
        calls(call("{}", "f", index=0, id="a"), call("{}", "g", index=1, id="b")),
        calls(call('{"x": 1}', index=0)),
    ]
    answer = Answer()

    with pytest.raises(ProviderAnswerInvalid, match="that was complete"):
        await said_in([body_of(deltas)], into=answer)

    assert answer.items == [ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")]


async def test_items_together_are_no_longer_than_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llamakeep.providers.openai.chat_completions.MAX_TEXT", 100)
    deltas = [
        {"reasoning": "r" * 30},
        {"content": "c" * 30},
        calls(call("{" + "x" * 29, "f", index=0, id="a")),
        calls(call("y" * 11, "g", index=1, id="b")),
    ]
    answer = Answer()

    with pytest.raises(ProviderAnswerInvalid, match="longer than 100"):
        await said_in([body_of(deltas)], into=answer)

    assert [len(item.text) for item in answer.items] == [30, 30, 30]


async def test_the_same_run_makes_the_same_ids_again() -> None:
    body = body_of([calls(call(WHERE, "f"), call(WHEN, "g"))])

    first, second = [await said_in([body]) for _ in range(2)]
    other = await said_in([body], by=CompletionReader("It", run_id="run_2"))

    assert first.items == second.items
    assert other.items[0] == ToolCall("call_2_1", "f", WHERE)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
ARGUMENTS = st.dictionaries(TEXTS, TEXTS, max_size=2).map(json.dumps)
PLACES = st.lists(st.integers(0, 2000), max_size=3).map(sorted)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[Item], list[dict[str, Any]]]:
    """Items, and deltas that say them; those of two calls come in turns."""
    thoughts, said, refusal = draw(st.tuples(TEXTS, TEXTS, TEXTS))
    texts = draw(st.lists(ARGUMENTS, max_size=2))
    items: list[Item] = [Reasoning(thoughts), Text(said), Refusal(refusal)]
    deltas: list[dict[str, Any]] = [
        *[{"reasoning_content": each} for each in thoughts],
        *[{"content": each, "refusal": None} for each in said],
        *[{"refusal": each, "content": ""} for each in refusal],
        *[
            calls(call("", f"f{at}", index=at, id=f"id{at}"))
            for at in range(len(texts))
        ],
    ]
    turns = [at for at, text in enumerate(texts) for _ in text[::7]]
    rest = [iter(range(0, len(text), 7)) for text in texts]
    for at in draw(st.permutations(turns)):
        start = next(rest[at])
        deltas.append(calls(call(texts[at][start : start + 7], index=at)))
    found = [ToolCall(f"id{at}", f"f{at}", text) for at, text in enumerate(texts)]
    return [*[item for item in items if item.text], *found], deltas


@pytest.mark.slow
@given(answers(), PLACES)
def test_all_items_arrive_whole_and_in_order_wherever_they_are_cut(
    answer: tuple[list[Item], list[dict[str, Any]]], places: list[int]
) -> None:
    items, deltas = answer
    body = body_of(deltas)

    read = asyncio.run(
        said_in([body[a:b] for a, b in pairwise([0, *places, len(body)])])
    )

    first = items[:1] if items and isinstance(items[0], Text) else []
    assert read.text == "".join(
        [item.text for item in items if isinstance(item, Text | Refusal)]
    )
    assert [*first, *read.items] == items


TRICKY = st.sampled_from(["hm", '"', "\\", "\n", "content", "}]}", "null", "ö", ""])


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), TRICKY | TEXTS)))
def test_reasoning_is_read_whatever_the_events_before_it_had(
    said: list[tuple[bool, str]],
) -> None:
    deltas = [
        {"content": None if is_thought else text}
        | {"reasoning_content": text if is_thought else None}
        for is_thought, text in said
    ]

    read = asyncio.run(said_in([body_of(deltas)]))

    thoughts = [item.text for item in read.items if isinstance(item, Reasoning)]
    assert "".join(thoughts) == "".join(
        [text for is_thought, text in said if is_thought]
    )
    assert read.text == "".join([text for is_thought, text in said if not is_thought])


async def test_others_have_their_turn_while_items_are_handed_over() -> None:
    message = message_of([F] * (MOST_ITEMS - 1), "")
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    answer = await said_in([body.encode()])
    counting.cancel()

    assert len(answer.items) == MOST_ITEMS - 1
    assert turns >= MOST_ITEMS


@pytest.mark.parametrize(
    "fields",
    [{"id": "x" * 1000}, {"function": {"arguments": "x" * 1000}}, {"name": "f"}],
)
def test_what_was_handed_over_takes_no_memory(fields: dict[str, Any]) -> None:
    piece = json.dumps(chunk(calls(call("", index=0) | fields))).encode()
    read = reader()
    read.read_value(chunk(calls(F0)))
    tracemalloc.start()
    try:
        for _ in range(2000):
            read.read(piece)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert left < 500_000
