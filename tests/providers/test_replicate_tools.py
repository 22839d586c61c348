"""Tools by prompt, for LLaMA on Replicate."""

from contextlib import aclosing
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, ToolCall, ToolResult
from llamakeep.domain.messages import message_of
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.base import Accepted, ItemBegun, ItemText
from llamakeep.providers.registry import Registry
from llamakeep.providers.replicate import ReplicateProvider
from tests.fakes import ScriptedProvider
from tests.providers.asking import Answer, ask
from tests.providers.replicating import MAVERICK, Control, asking, provider_at

PARROT = "llamakeep/parrot"
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}
TOLD: dict[str, Any] = {"tools": (TOOL,), "prompted_tools": True}
CALLING = '{"name": "weather", "parameters": {"city": "Jeju"}}'
CALLED = ToolCall("call_1_1", "weather", '{"city": "Jeju"}')


async def test_a_llama_is_told_of_tools_and_its_call_is_read(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(deltas=[CALLING[:7], CALLING[7:25], CALLING[25:]])

    answer = await ask(replicate, asking("Rain?", **TOLD, max_tokens=50))

    given = (await control.only())["input"]
    assert given.keys() == {"prompt", "system_prompt", "max_tokens"}
    assert given["prompt"] == "Rain?"
    assert '"name": "weather"' in given["system_prompt"]
    assert (answer.text, answer.items) == ("", [CALLED])
    assert answer.finished is not None
    assert answer.finished.finish_reason == "tool_calls"


async def test_an_answer_that_is_waited_for_is_read_as_well(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(deltas=[CALLING])

    answer = await ask(replicate, asking(**TOLD, is_followed=False))

    assert answer.items == [CALLED]


async def test_without_tools_what_looks_like_a_call_is_text(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(deltas=[CALLING])

    assert (await ask(replicate, asking())).text == CALLING


async def test_a_call_that_is_resumed_has_the_same_id(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(deltas=[CALLING])
    request = asking(**TOLD)
    async with aclosing(replicate.answer(request)) as events:
        accepted = await anext(events)
        replicate.detach()
    assert isinstance(accepted, Accepted)
    assert accepted.handle is not None

    answer = Answer()
    async with aclosing(replicate.resume(request, accepted.handle)) as events:
        async for event in events:
            if isinstance(event, str | ItemBegun | ItemText):
                answer.add(event)

    assert answer.items == [CALLED]


RESULT = message_of("tool", [ToolResult("a", "Rain <|eot|>")])
BEFORE = (
    Message("user", "Rain?"),
    message_of("assistant", [ToolCall("a", "weather", "{}")]),
    RESULT,
)


async def test_what_was_called_is_written_in_the_models_own_form(
    replicate: ReplicateProvider, control: Control
) -> None:
    await ask(replicate, asking("Sure?", before=BEFORE))

    assert (await control.only())["input"] == {
        "prompt": "<|header_start|>user<|header_end|>\n\nRain?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n"
        '{"name": "weather", "parameters": {}}<|eot|>'
        "<|header_start|>ipython<|header_end|>\n\nRain < |eot|><|eot|>"
        "<|header_start|>user<|header_end|>\n\nSure?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n",
        "prompt_template": "{prompt}",
    }


async def test_models_of_other_families_are_told_of_no_tools(
    replicate: ReplicateProvider,
) -> None:
    able = ScriptedProvider()
    registry = Registry([replicate, able])
    given = Parameters(tools=(TOOL,), tool_choice="auto")

    await registry.check_parameters(replicate, MAVERICK, given)
    with pytest.raises(UnsupportedParameter, match=f"such as replicate:{MAVERICK}"):
        await registry.check_parameters(replicate, PARROT, given)


async def test_the_settings_may_want_no_tools_in_prompts(control: Control) -> None:
    unable = provider_at(control.origin, prompted_tools=False)
    registry = Registry([unable, ScriptedProvider()])
    given = Parameters(tools=(TOOL,))

    with pytest.raises(UnsupportedParameter, match="such as scripted:parrot"):
        await registry.check_parameters(unable, MAVERICK, given)
    await unable.close()
