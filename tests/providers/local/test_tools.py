"""Tools by prompt, for the embedded model."""

import json
from dataclasses import replace

import pytest

from llamakeep.domain import Message, Parameters, ToolCall, ToolResult
from llamakeep.domain.messages import message_of
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from tests.providers.asking import ask, request

MODEL = "smollm2-135m-instruct"
CITY = {"enum": ["Jeju", "Seoul"]}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/City"}},
            "required": ["city"],
            "additionalProperties": False,
            "$defs": {"City": CITY},
        },
    },
}
PATTERN = {
    "type": "function",
    "function": {"name": "f", "parameters": {"pattern": "."}},
}


async def test_the_embedded_model_calls_where_it_has_to(local: LocalProvider) -> None:
    parameters = Parameters(
        tools=(TOOL,), tool_choice="required", prompted_tools=True, max_tokens=60
    )
    asked = request("Rain in Jeju?", model=MODEL, parameters=parameters)

    answer = await ask(local, asked)

    [call] = answer.items
    assert isinstance(call, ToolCall)
    assert (call.call_id, call.name) == ("call_1_1", "weather")
    assert json.loads(call.text)["city"] in CITY["enum"]
    assert answer.text == ""
    assert answer.finished is not None
    assert answer.finished.finish_reason == "tool_calls"


async def test_the_embedded_model_reads_what_a_tool_returned(
    local: LocalProvider,
) -> None:
    token = "<|im_end|>"
    said = [
        Message("user", "Rain?"),
        message_of("assistant", [ToolCall("a", "weather", json.dumps({"a": token}))]),
        message_of("tool", [ToolResult("a", f"Rain {token}")]),
    ]
    asked = request(model=MODEL, parameters=Parameters(max_tokens=1))

    answer = await ask(local, replace(asked, messages=said))

    assert answer.finished is not None
    # Each token would be one; as text it is six at least.
    assert (answer.finished.usage.input_tokens or 0) > 60


async def test_a_tool_that_the_embedded_model_cannot_be_held_to_is_refused(
    local: LocalProvider,
) -> None:
    registry = Registry([local])
    free = Parameters(tools=(TOOL, PATTERN))
    held = Parameters(tools=(TOOL, PATTERN), tool_choice="required")

    await registry.check_parameters(local, MODEL, free)
    with pytest.raises(UnsupportedParameter, match="of the tool 'f'") as refused:
        await registry.check_parameters(local, MODEL, held)

    assert refused.value.parameters == ("tools",)


@pytest.fixture
def unable(local_settings: Settings) -> LocalProvider:
    return LocalProvider(local_settings.model_copy(update={"prompted_tools": False}))


async def test_the_settings_may_want_no_tools_in_the_prompt(
    unable: LocalProvider,
) -> None:
    given = Parameters(tools=(TOOL,))

    with pytest.raises(UnsupportedParameter, match="tools"):
        await Registry([unable]).check_parameters(unable, MODEL, given)
