"""What models can do: as servers say it in lists, and in refusals."""

from typing import Any

import pytest

from llamakeep.domain import Capabilities, Parameters
from llamakeep.domain.capabilities import UNKNOWN
from llamakeep.errors import PromptRejected, UnsupportedParameter
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.capabilities import capabilities_of
from llamakeep.providers.openai.capabilities import (
    MOST_LISTED,
    MOST_MODELS,
    REMEMBERED,
    KnownCapabilities,
    said_of,
)
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.openai.refusals import Reason
from llamakeep.providers.registry import Registry
from tests.fakes import ScriptedProvider
from tests.providers.asking import ask, asked, request
from tests.providers.stub_server import running_stub, whole

TOOLS = Parameters(tools=({"type": "function", "function": {"name": "f"}},))
SCHEMA = Parameters(
    response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
)
JSON = Parameters(response_format={"type": "json_object"})
EFFORT = Parameters(reasoning_effort="low")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"id": "a", "object": "model"}, UNKNOWN),
        (
            {
                "supported_parameters": ["tools", "reasoning", "max_tokens", 5, {}],
                "architecture": {"input_modalities": ["text", "image"]},
            },
            Capabilities(
                tools=True,
                json_schema=False,
                reasoning=True,
                logprobs=False,
                images=True,
            ),
        ),
        (
            {"capabilities": {"function_calling": True, "vision": False, "other": 1}},
            Capabilities(tools=True, images=False),
        ),
        (
            {"capabilities": ["completion", "multimodal", {}]},
            Capabilities(images=True),
        ),
        (
            {"capabilities": ["tools", "thinking"]},
            Capabilities(tools=True, reasoning=True),
        ),
        (
            {"supports_tools": False, "supports_image_input": True},
            Capabilities(tools=False, images=True),
        ),
        ({"type": "embedding"}, Capabilities(embeddings=True)),
        (
            {
                "supported_parameters": "tools",
                "architecture": 5,
                "capabilities": "all",
                "supports_tools": "yes",
                "type": [],
            },
            UNKNOWN,
        ),
    ],
)
def test_what_a_list_says_of_a_model_is_read(
    entry: dict[str, Any], expected: Capabilities
) -> None:
    assert said_of(entry) == expected


def refused(
    message: str, parameters: Parameters, *, status: int = 400
) -> KnownCapabilities:
    known = KnownCapabilities(clock=lambda: 0.0)
    reason = Reason.read({"error": {"message": message}})
    known.note_refusal(request(parameters=parameters), status, reason)
    return known


@pytest.mark.parametrize(
    ("message", "parameters", "expected"),
    [
        ("library/gemma:2b does not support tools", TOOLS, "tools"),
        ("No endpoints found that support tool use. See …", TOOLS, "tools"),
        ("`tool calling` is not supported with this model", TOOLS, "tools"),
        ("Unsupported parameter: 'tools' is not supported.", TOOLS, "tools"),
        ("x does not support Function Calling", TOOLS, "tools"),
        ("tools param requires --jinja flag", TOOLS, "tools"),
        (
            "'response_format' of type 'json_schema' is not supported with this model.",
            SCHEMA,
            "json_schema",
        ),
        (
            "This model does not support response format `json_schema`. See …",
            SCHEMA,
            "json_schema",
        ),
        ('"llama3" does not support thinking', EFFORT, "reasoning"),
        (
            "Unsupported parameter: 'reasoning_effort' is not supported by this model.",
            EFFORT,
            "reasoning",
        ),
    ],
)
def test_a_refusal_that_says_what_a_model_cannot_do_is_remembered(
    message: str, parameters: Parameters, expected: str
) -> None:
    known = refused(message, parameters)

    assert known.of("parrot") == Capabilities(**{expected: False})
    assert known.of("other") == UNKNOWN


@pytest.mark.parametrize(
    ("message", "parameters"),
    [
        ("gemma does not support tools", Parameters()),
        ("gemma does not support tools", EFFORT),
        ("tool_choice 'required' is not supported", TOOLS),
        ("It does not support tools with streaming", TOOLS),
        ("strict tools are not supported", TOOLS),
        ("'oneOf' is not supported in the schemas of tools", TOOLS),
        ("json_schema keyword 'oneOf' is not supported", SCHEMA),
        ("response_format 'json_object' is not supported", JSON),
        ("reasoning_effort 'max' is not supported", EFFORT),
        ("Please try again", TOOLS),
        ("", TOOLS),
    ],
)
def test_other_refusals_say_nothing_of_what_a_model_can_do(
    message: str, parameters: Parameters
) -> None:
    assert refused(message, parameters).of("parrot") == UNKNOWN


@pytest.mark.parametrize("status", [401, 402, 403, 408, 429, 503])
def test_refusals_for_other_reasons_say_nothing_of_what_a_model_can_do(
    status: int,
) -> None:
    known = refused("gemma does not support tools", TOOLS, status=status)

    assert known.of("parrot") == UNKNOWN


def test_a_refusal_is_forgotten_after_a_while_and_wins_until_then() -> None:
    now = 0.0
    known = KnownCapabilities(clock=lambda: now)
    known.note_list({"data": [{"id": "parrot", "supports_tools": True}]})
    reason = Reason.read({"error": "parrot does not support tools"})
    known.note_refusal(request(parameters=TOOLS), 400, reason)

    now = REMEMBERED - 1
    before = known.of("parrot").tools
    now = REMEMBERED
    after = known.of("parrot").tools

    assert (before, after) == (False, True)


def test_so_many_models_are_remembered_at_most() -> None:
    known = KnownCapabilities(clock=lambda: 0.0)
    reason = Reason.read({"error": "It does not support tools"})
    for number in range(MOST_MODELS + 1):
        asked = CompletionRequest(
            run_id="", attempt=1, model=str(number), messages=(), parameters=TOOLS
        )
        known.note_refusal(asked, 400, reason)

    assert known.of("0") == UNKNOWN
    assert known.of(str(MOST_MODELS)).tools is False


@pytest.mark.parametrize(
    "listing", [None, [], {"data": 5}, {"data": [5, {"id": 5, "vision": True}]}]
)
def test_lists_of_other_forms_say_nothing(listing: Any) -> None:
    known = KnownCapabilities()

    known.note_list(listing)

    assert known.of("5") == UNKNOWN


async def test_llama_cpp_says_what_its_model_can_do() -> None:
    props = {
        "modalities": {"vision": True, "audio": False},
        "chat_template_caps": {"supports_parallel_tool_calls": True},
    }
    async with running_stub() as stub:
        stub.script_of_path = {
            "/v1/models": [whole(200, {"data": [{"id": "a"}]}, server="llama.cpp")],
            "/props": [whole(200, props)],
        }
        provider = OpenAIProvider(stub.base_url, api_key="key")
        for _ in range(2):
            await provider.models()
        can = await provider.capabilities("a")
        await provider.close()

    assert can == Capabilities(
        tools=True, parallel_tools=True, images=True, json_schema=True, logprobs=True
    )
    asked = [one.path for one in stub.heard]
    assert asked == ["/v1/models", "/props", "/v1/models"]
    assert stub.heard[1].headers["authorization"] == "Bearer key"


@pytest.mark.parametrize("answer", [(404, {}), (200, b"<p>"), (200, []), (500, {})])
async def test_a_llama_cpp_that_does_not_say_it_is_listed_all_the_same(
    answer: tuple[int, Any],
) -> None:
    async with running_stub() as stub:
        stub.script_of_path = {
            "/v1/models": [whole(200, {"data": [{"id": "a"}]}, server="llama.cpp")],
            "/props": [whole(*answer)],
        }
        provider = OpenAIProvider(stub.base_url)
        models = await provider.models()
        await provider.close()

    assert models == ["a"]


async def test_of_models_of_the_settings_the_server_is_asked_once_in_a_while() -> None:
    listing = {"data": [{"id": "a", "supports_tools": False}]}
    async with running_stub(whole(200, listing)) as stub:
        provider = OpenAIProvider(stub.base_url, models=("a", "b"))
        models = [await provider.models() for _ in range(2)]
        can = await provider.capabilities("a")
        await provider.close()

    assert models == [["a", "b"]] * 2
    assert can.tools is False
    assert len(stub.heard) == 1


async def test_the_models_of_the_settings_are_listed_while_their_server_is_away() -> (
    None
):
    async with running_stub() as stub:
        base_url = stub.base_url
    provider = OpenAIProvider(base_url, models=("a",))

    assert await provider.models() == ["a"]
    await provider.close()


async def test_of_a_list_that_is_very_long_the_first_models_are_known() -> None:
    listed = [{"id": f"model-{number}"} for number in range(MOST_LISTED + 9)]
    odd = [{"id": each} for each in ("a\nb", "\ud800", "", " " * 257, 5, None)]
    async with running_stub(whole(200, {"data": [*odd, *listed]})) as stub:
        provider = OpenAIProvider(stub.base_url)
        models = await provider.models()
        await provider.close()

    assert models == [each["id"] for each in listed[:MOST_LISTED]]


async def test_a_model_that_refused_tools_is_not_asked_again() -> None:
    refusal = whole(400, {"error": {"message": "parrot does not support tools"}})
    async with asked(refusal) as (_, provider):
        registry = Registry([provider, ScriptedProvider()])
        await registry.check_parameters(provider, "parrot", TOOLS)
        with pytest.raises(PromptRejected):
            await ask(provider, request(parameters=TOOLS))
        with pytest.raises(UnsupportedParameter):
            await registry.check_parameters(provider, "parrot", TOOLS)
        await registry.check_parameters(provider, "another", TOOLS)


@pytest.mark.parametrize(
    ("can", "parameters", "refused"),
    [
        (Capabilities(tools=False), TOOLS, ("tools",)),
        (Capabilities(json_schema=False), SCHEMA, ("response_format",)),
        (Capabilities(json_schema=False), JSON, None),
        (Capabilities(reasoning=False), EFFORT, ("reasoning_effort",)),
        (Capabilities(reasoning=False), Parameters(reasoning_effort="none"), None),
        (Capabilities(images=False), TOOLS, None),
        (UNKNOWN, TOOLS, None),
    ],
)
async def test_what_a_model_is_known_not_to_do_is_refused(
    can: Capabilities, parameters: Parameters, refused: tuple[str, ...] | None
) -> None:
    provider = ScriptedProvider()
    provider.able["parrot"] = can
    checking = Registry([provider]).check_parameters(provider, "parrot", parameters)

    if refused is None:
        await checking
    else:
        with pytest.raises(UnsupportedParameter) as error:
            await checking
        assert error.value.parameters == refused


async def test_a_model_may_support_what_others_of_its_provider_do_not() -> None:
    provider = ScriptedProvider(
        models=("a", "b"), unsupported=frozenset({"tools", "response_format"})
    )
    provider.able["b"] = Capabilities(tools=True, json_schema=True)
    registry = Registry([provider])

    for given in (TOOLS, SCHEMA, JSON):
        await registry.check_parameters(provider, "b", given)
        with pytest.raises(UnsupportedParameter) as refused:
            await registry.check_parameters(provider, "a", given)
        other = await registry.able(refused.value.needed, may_ask=lambda _: True)
        assert other == "scripted:b"
    assert await capabilities_of(provider, "a") == Capabilities(
        tools=False,
        parallel_tools=False,
        json_schema=False,
        n=True,
        prefill=False,
    )


async def test_a_place_that_needs_what_a_model_cannot_do_is_named() -> None:
    provider = ScriptedProvider()
    provider.able["parrot"] = Capabilities(images=False)
    registry = Registry([provider])

    with pytest.raises(UnsupportedParameter) as error:
        await registry.check_needs(provider, "parrot", {"messages[0]": "images"})

    assert error.value.parameters == ("messages[0]",)
