"""Calls in the text of models that were told of their tools in the prompt."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.domain import Item, Text, ToolCall
from llamakeep.domain.messages import said_in
from llamakeep.domain.output import tape_of
from llamakeep.providers.base import ItemBegun
from llamakeep.providers.prompted.calls import MOST_CALLS, MOST_HELD, CallReader
from tests.providers.asking import Answer

NAMES = ("get_weather", "now", "None")
WHERE = '{"city": "Jeju", "days": [1, {"a": "}\\"{"}]}'
CALL = f'{{"name": "get_weather", "parameters": {WHERE}}}'
NOW = '{"name": "now", "parameters": {}}'


def read(*pieces: str, most: int = MOST_CALLS) -> tuple[str, Sequence[Item]]:
    """Return the text that an answer begins with, and the items after it."""
    reader, answer = CallReader("run_7", NAMES, most=most), Answer()
    before = ""
    for growths in (*map(reader.feed, pieces), reader.end()):
        for growth in growths:
            assert growth != ""
            answer.add(growth)
            if isinstance(growth, str) and not answer.items:
                before += growth
    ends_with_call = bool(answer.items) and isinstance(answer.items[-1], ToolCall)
    assert reader.ends_with_call == ends_with_call
    return before, answer.items


def called(number: int, name: str, arguments: str) -> ToolCall:
    return ToolCall(f"call_7_{number}", name, arguments)


ONE = [called(1, "get_weather", WHERE)]
TWO = [*ONE, called(2, "now", "{}")]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (CALL, ONE),
        (f"\n\n {CALL}\n", ONE),
        (f"<|python_start|>{CALL}<|python_end|>", ONE),
        (f"<|python_tag|> {CALL}", ONE),
        (f'{{"type": "function", "name": "get_weather", "arguments": {WHERE}}}', ONE),
        (f'{{\n  "parameters" :{WHERE} ,\n  "name": "get_weather"\n}}', ONE),
        (f"{CALL}\n{NOW}", TWO),
        (f"{CALL}; {NOW};", TWO),
        (f"{CALL}{NOW}", TWO),
        (f"[{CALL}, {NOW}]", TWO),
        (f"[ {CALL} ]\n[{NOW}\n]", TWO),
        ("[now(), now()]", [called(1, "now", "{}"), called(2, "now", "{}")]),
        (
            "[get_weather(city='Je\"ju', days=[-1, 2.5], now=None, is_hot=true)]",
            [
                called(
                    1,
                    "get_weather",
                    '{"city": "Je\\"ju", "days": [-1, 2.5], "now": null, '
                    '"is_hot": true}',
                )
            ],
        ),
        (f"{CALL}\n\nThere it is.", [*ONE, Text("\n\nThere it is.")]),
        (f"{CALL} {{}}", [*ONE, Text(" {}")]),
    ],
)
def test_a_call_is_told_from_text(text: str, items: Sequence[Item]) -> None:
    assert read(text) == ("", items)
    assert read(*text) == ("", items)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "Hello",
        "<b>",
        "<|python_start|>",
        "<|python_start|>print(1)",
        f"I call it: {CALL}",
        f"```json\n{CALL}\n```",
        CALL[:-1],
        f"[{CALL}",
        f"[{CALL},]",
        f"[{CALL} {NOW}]",
        f"[{CALL}, 1]",
        "[]",
        "{}",
        '{"name": "other", "parameters": {}}',
        '{"parameters": {}}',
        '{"name": null, "parameters": {}}',
        '{"name": ["now"], "parameters": {}}',
        '{"name": "now"}',
        '{"name": "now", "parameters": {}, "more": 1}',
        '{"name": "now", "parameters": {}, "arguments": {}}',
        '{"name": "now", "name": "now", "parameters": {}}',
        '{"name": "now", "parameters": "{}"}',
        '{"name": "now", "parameters": []}',
        '{"name": "now", "parameters": null}',
        '{"name": "now", "parameters": {"a": NaN}}',
        '{"name": "now", "parameters": {"a": \'b\'}}',
        '{"name": "now", "parameters": {"a": "\n"}}',
        '{"name": "now", "parameters": {1: 2}}',
        '{"name": "now", "type": "code", "parameters": {}}',
        '{"name": "now", "parameters": {"a": ' + "[" * 70 + "]" * 70 + "}}",
        "[now(1)]",
        "[now(a=1, a=2)]",
        "[now(**{})]",
        "[now(a=b)]",
        "[now(a=f'{1}')]",
        "[now(a={1: 2})]",
        "[now(a={'b': 1, 'b': 2})]",
        "[now(a={1})]",
        "[now(a=1e999)]",
        "[now(a=1j)]",
        "[now(a=b'b')]",
        "[now(a='\\ud800')]",
        "[now(a=9" + "9" * 5000 + ")]",
        "[now(a=" + "-" * 8000 + "1)]",
        "[now(a='" + "b" * 8192 + "')]",
        "[now(), other()]",
        "[now().now()]",
        "[now() for now in now()]",
        "[now(](a=1))",
    ],
)
def test_what_is_no_call_to_the_letter_is_text_as_it_came(text: str) -> None:
    assert read(text) == (text, [])
    assert read(*text) == (text, [])


def test_no_warning_comes_of_what_a_model_wrote() -> None:
    [call] = read(r"[now(a='\q')]")[1]

    assert json.loads(call.text) == {"a": r"\q"}


def test_text_that_is_no_call_is_not_held_back() -> None:
    for text in ("Hi", "[1]", "[no", '{"city', "<b", "\n- "):
        reader = CallReader("run_7", ("get_weather",))
        assert reader.feed(text) == [text]


def test_of_calls_that_are_too_many_the_rest_is_text() -> None:
    assert read(f"{CALL}\n{NOW}", most=1) == ("", [*ONE, Text(f"\n{NOW}")])
    assert read(f"{CALL}\n<|python_end|>", most=1) == ("", ONE)
    assert read(f"[{CALL},{NOW}]", most=1) == (f"[{CALL},{NOW}]", [])
    assert len(read(NOW * (MOST_CALLS + 1))[1]) == MOST_CALLS + 1


@pytest.mark.parametrize("size", [1000, 70_000])
def test_as_much_is_held_back_wherever_it_is_cut(size: int) -> None:
    for length in (MOST_HELD, MOST_HELD + 1):
        fill = "x" * (length - len('{"name":"now","parameters":{"a":""}}'))
        text = f'{{"name":"now","parameters":{{"a":"{fill}"}}}}'
        pieces = [text[at : at + size] for at in range(0, length, size)]
        before, items = read(*pieces)

        assert len(items) == (length == MOST_HELD)
        assert before == ("" if items else text)


@pytest.mark.parametrize("space", [1024, 1025])
def test_as_much_space_is_held_back_wherever_it_is_cut(space: int) -> None:
    for text in (" " * space + NOW, "{" + " " * (space - 1) + NOW[1:]):
        assert read(text) == read(*text)
        assert len(read(text)[1]) == (space == 1024)


fragments = st.sampled_from(
    [
        *(CALL, NOW, "[", "]", "{", "}", ",", ";", " ", "\n", '"', "'", "\\", "("),
        *("<|python_start|>", "<|python_end|>", "<", "now(", "a=1", ")", "Hello"),
        *('"name"', '"now"', ":", '"parameters"', "{}", "[now()]", "get_weather"),
    ]
)
answers = st.lists(fragments | st.text(max_size=3), max_size=12).map("".join)
cuts = st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=20)


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


@given(answers, cuts)
def test_an_answer_is_the_same_wherever_it_is_cut(
    text: str, sizes: Sequence[int]
) -> None:
    assert read(*cut(text, sizes)) == read(text)


@given(answers, cuts)
def test_no_text_is_lost_and_no_call_invented(text: str, sizes: Sequence[int]) -> None:
    before, items = read(*cut(text, sizes))

    rest = text
    for item in items:
        if isinstance(item, ToolCall):
            assert item.name in NAMES
            place = rest.find(item.name)
            assert place >= 0
            rest = rest[place + len(item.name) :]
            if item.text in rest:  # else it was written in Python's words
                rest = rest[rest.index(item.text) + len(item.text) :]
            assert isinstance(json.loads(item.text), dict)
    if not items:
        assert before == text
    else:
        assert before == ""
        assert text.endswith(said_in(items))


@given(answers, cuts)
def test_a_tape_only_grows(text: str, sizes: Sequence[int]) -> None:
    whole = tape_of(read(text)[1], read(text)[0])
    reader, tape = CallReader("run_7", NAMES), ""
    for piece in cut(text, sizes):
        for growth in reader.feed(piece):
            if isinstance(growth, ItemBegun):
                tape += "\0"
            else:
                tape += growth if isinstance(growth, str) else growth.text
            assert whole.startswith(tape)


@given(st.text(alphabet=st.characters(exclude_characters="{[<"), min_size=1))
def test_a_text_without_brackets_is_handed_on_as_it_comes(text: str) -> None:
    reader = CallReader("run_7", NAMES)
    said = [*reader.feed(text)]

    if text.strip(" \t\r\n"):
        assert said == [text]
