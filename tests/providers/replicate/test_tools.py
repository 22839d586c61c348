"""Tools and JSON by prompt, for LLaMA on Replicate."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, ToolCall, ToolResult
from llamakeep.domain.messages import message_of
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.base import Accepted, ItemBegun, ItemText
from llamakeep.providers.prompted.format import NOT_JSON
from llamakeep.providers.registry import Registry
from llamakeep.providers.replicate import ReplicateProvider
from tests.fakes import ScriptedProvider
from tests.providers.asking import Answer, ask
from tests.providers.replicating import (
    FORMAT,
    GPT,
    MAVERICK,
    PARROT,
    SCOUT,
    TOOL,
    Control,
    asking,
    provider_at,
)

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
    with pytest.raises(UnsupportedParameter):
        await registry.check_parameters(replicate, PARROT, given)
    other = await registry.able(["tools"], may_ask=lambda _: True)
    assert other == f"replicate:{MAVERICK}"


@pytest.mark.parametrize("given", [{"tools": (TOOL,)}, {"response_format": FORMAT}])
async def test_the_settings_may_want_nothing_by_prompt(
    control: Control, given: dict[str, Any]
) -> None:
    unable = provider_at(control.origin, prompted_tools=False)
    registry = Registry([unable, ScriptedProvider()])

    with pytest.raises(UnsupportedParameter):
        await registry.check_parameters(unable, MAVERICK, Parameters(**given))
    other = await registry.able([*given], may_ask=lambda _: True)
    assert other == "scripted:parrot"
    await unable.close()


@pytest.mark.parametrize(
    ("deltas", "reason"),
    [
        (['{"city": ', '"Jeju"}'], "stop"),
        (["Sure! ", '{"city": "Jeju"}'], NOT_JSON),
        (['```json\n{"city": "Jeju"}\n```'], NOT_JSON),
    ],
)
@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_llama_is_asked_for_json_and_what_is_none_is_said_to_be_none(
    replicate: ReplicateProvider,
    control: Control,
    deltas: list[str],
    reason: str,
    *,
    is_followed: bool,
) -> None:
    await control.rule(deltas=deltas)

    request = asking(
        "Where?",
        response_format=FORMAT,
        prompted_format=True,
        is_followed=is_followed,
    )
    answer = await ask(replicate, request)

    given = (await control.only())["input"]
    assert given.keys() == {"prompt", "system_prompt"}
    assert given["prompt"] == "Where?"
    assert '{"type": "object"}' in given["system_prompt"]
    assert answer.text == "".join(deltas)
    assert answer.finished is not None
    assert answer.finished.finish_reason == reason


async def test_json_is_read_with_the_beginning_that_the_client_gave_it(
    replicate: ReplicateProvider, control: Control
) -> None:
    await control.rule(deltas=['"city": "Jeju"}'])
    asked = asking(response_format=FORMAT, prompted_format=True)
    begun = [Message("user", "Where?"), Message("assistant", "{")]

    answer = await ask(replicate, replace(asked, messages=begun))

    assert (await control.only())["input"]["prompt"].endswith("<|header_end|>\n\n{")
    assert answer.text == '"city": "Jeju"}'
    assert answer.finished is not None
    assert answer.finished.finish_reason == "stop"


@pytest.mark.parametrize(
    ("model", "given", "named"),
    [
        (MAVERICK, {"response_format": FORMAT, "top_k": 3}, []),
        (SCOUT, {"response_format": FORMAT, "tools": (TOOL,)}, []),
        (SCOUT, {"top_k": 3, "stop": ("a",)}, ["stop", "top_k"]),
        (SCOUT, {"seed": 1, "max_tokens": 5}, ["seed"]),
        (PARROT, {"response_format": FORMAT}, ["response_format"]),
        (PARROT, {"max_tokens": 5000}, ["max_tokens"]),
        (GPT, {"reasoning_effort": "low", "tools": (TOOL,)}, []),
        (GPT, {"reasoning_effort": "most"}, ["reasoning_effort"]),
        (
            GPT,
            {"tools": (TOOL,), "parallel_tool_calls": False},
            ["parallel_tool_calls"],
        ),
        (GPT, {"response_format": FORMAT}, ["response_format"]),
    ],
)
async def test_what_a_model_has_no_field_for_is_refused_before_anything_is_stored(
    replicate: ReplicateProvider,
    model: str,
    given: dict[str, Any],
    named: list[str],
) -> None:
    check = Registry([replicate]).check_parameters
    parameters = Parameters(**given)

    if not named:
        await check(replicate, model, parameters)
        return
    with pytest.raises(UnsupportedParameter) as caught:
        await check(replicate, model, parameters)
    assert list(caught.value.parameters) == named
