"""JSON by prompt: how it is asked for, and what is said of an answer that is none."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, Text, ToolCall
from llamakeep.providers.base import Event, Finished, ItemBegun, ItemText
from llamakeep.providers.prompted.format import LONGEST, NOT_JSON, json_checked
from llamakeep.providers.prompted.tools import told
from tests.providers.asking import request

OBJECT: dict[str, Any] = {"type": "json_object"}
PERSON: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "description": "Who it is.",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
LIST: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "names", "schema": {"type": "array"}},
}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "weather"}}


def test_a_format_is_described_at_the_end_of_the_system_prompt() -> None:
    asked = request(
        "Who?",
        parameters=Parameters(response_format=PERSON, prompted_format=True, seed=1),
    )

    said = told(asked)

    [system, user] = said.messages
    assert user == Message("user", "Who?")
    assert system.content.startswith("Answer with one JSON object and nothing else")
    assert "What it is for: Who it is." in system.content
    assert system.content.endswith(
        'schema:\n{"type": "object", "properties": {"name": {"type": "string"}}}'
    )
    assert said.parameters == Parameters(seed=1)


def test_a_format_that_a_server_has_a_parameter_for_is_not_described() -> None:
    asked = request("Who?", parameters=Parameters(response_format=OBJECT))

    assert told(asked) == asked


def test_tools_are_described_before_the_format() -> None:
    parameters = Parameters(
        tools=(TOOL,),
        response_format=OBJECT,
        prompted_tools=True,
        prompted_format=True,
    )

    [system, _] = told(request("Who?", parameters=parameters)).messages

    tools, _, wanted = system.content.partition('"name": "weather"')
    assert "You can call the functions below" in tools
    assert "A call of a function is written as it is described above" in wanted


async def ended(
    wanted: dict[str, Any], *events: Event, reason: str = "stop"
) -> tuple[list[Event], str | None]:
    """Return the events of an answer that was checked, and its finish reason."""

    async def answer() -> AsyncGenerator[Event, None]:
        for event in events:
            yield event
        yield Finished(reason)

    *said, finished = [each async for each in json_checked(wanted, answer())]
    assert isinstance(finished, Finished)
    return said, finished.finish_reason


@pytest.mark.parametrize(
    ("wanted", "text", "is_json"),
    [
        (OBJECT, '{"a": 1}', True),
        (OBJECT, ' {"a": 1}\n', True),
        (OBJECT, "[1]", False),
        (OBJECT, "null", False),
        (OBJECT, "", False),
        (PERSON, '{"name": "Ada"}', True),
        (PERSON, '"Ada"', False),
        (PERSON, '```json\n{"name": "Ada"}\n```', False),
        (PERSON, 'Here it is: {"name": "Ada"}', False),
        (PERSON, '{"name": "Ada"} {"name": "Bea"}', False),
        (PERSON, '{"name": "Ada",}', False),
        (PERSON, '{"name": NaN}', False),
        (PERSON, '{"name": "A', False),
        (PERSON, 100_000 * '{"a":', False),
        (LIST, "[1, 2]", True),
        (LIST, "[1, 2", False),
        (OBJECT, '{"a": "' + 100_000 * "x" + '"}', True),
        (OBJECT, '{"a": "' + LONGEST * "x" + '"}', False),
    ],
)
async def test_an_answer_that_is_no_json_says_so_and_stays_as_it_is(
    wanted: dict[str, Any], text: str, is_json: bool
) -> None:
    pieces = [text[:5], text[5:]]
    said, reason = await ended(wanted, *pieces)

    assert said == pieces
    assert reason == ("stop" if is_json else NOT_JSON)


@pytest.mark.parametrize("reason", ["length", "tool_calls", "content_filter"])
async def test_an_answer_that_was_cut_off_keeps_its_reason(reason: str) -> None:
    _, kept = await ended(OBJECT, '{"a":', reason=reason)

    assert kept == reason


async def test_only_the_text_of_an_answer_is_checked() -> None:
    call = (ItemBegun(ToolCall("c1", "weather")), ItemText('{"city": "'))
    events = (*call, ItemBegun(Text()), '{"a": 1}')

    assert await ended(OBJECT, *events) == (list(events), "stop")
