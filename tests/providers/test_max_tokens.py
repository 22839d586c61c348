"""What the limit of an answer is called, which few models know by both names."""

from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import MaxTokensName, Parameters
from llamakeep.errors import PromptRejected
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.openai.refusals import Reason, refuses_name
from tests.providers.asking import ask, request
from tests.providers.misbehaving import misbehaving

NAMES: tuple[MaxTokensName, ...] = ("max_tokens", "max_completion_tokens")


def limits(heard: list[dict[str, Any]]) -> list[list[str]]:
    return [[name for name in NAMES if name in asked] for asked in heard]


async def asked_twice(model: str, name: MaxTokensName | None) -> list[list[str]]:
    """Return which names were sent for two prompts."""
    heard: list[dict[str, Any]] = []
    limited = request(model=model, parameters=Parameters(max_tokens=5))
    async with misbehaving(heard) as base_url:
        provider = OpenAIProvider(base_url)
        for _ in range(2):
            answer = await ask(provider, replace(limited, max_tokens_name=name))
            assert answer.text == "Hello world"
        await provider.close()
    return limits(heard)


@pytest.mark.parametrize("name", NAMES)
async def test_the_name_is_the_clients(name: MaxTokensName) -> None:
    assert await asked_twice("ok", name) == [[name], [name]]


async def test_without_a_name_it_is_the_one_that_more_servers_know() -> None:
    assert await asked_twice("ok", None) == [["max_tokens"], ["max_tokens"]]


@pytest.mark.parametrize("name", [None, *NAMES])
async def test_the_other_name_is_tried_once_and_remembered(
    name: MaxTokensName | None,
) -> None:
    first = name or "max_tokens"
    [other] = set(NAMES) - {first}

    assert await asked_twice(f"no {first}", name) == [[first], [other], [other]]


async def test_when_both_names_are_refused_the_prompt_is() -> None:
    heard: list[dict[str, Any]] = []
    async with misbehaving(heard) as base_url:
        provider = OpenAIProvider(base_url)
        with pytest.raises(PromptRejected, match="not supported"):
            await ask(
                provider, request(model="neither", parameters=Parameters(max_tokens=5))
            )
        await provider.close()

    assert limits(heard) == [["max_tokens"], ["max_completion_tokens"]]


@pytest.mark.parametrize(
    ("body", "is_about_the_name"),
    [
        (
            {
                "error": {
                    "message": "Unsupported parameter: 'max_tokens' is not supported "
                    "with this model. Use 'max_completion_tokens' instead.",
                    "param": "max_tokens",
                    "code": "unsupported_parameter",
                }
            },
            True,
        ),
        ({"error": "Unrecognized request argument supplied: max_tokens"}, True),
        (
            {"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs: no"}]},
            True,
        ),
        ({"error": {"message": "max_tokens is too large: 9. Unsupported"}}, False),
        ({"error": {"message": "Unsupported value", "param": "temperature"}}, False),
        ({"error": {"message": "max_tokens must be at least 1"}}, False),
    ],
)
def test_only_an_unknown_name_is_another_name_wanted(
    body: Any, *, is_about_the_name: bool
) -> None:
    assert refuses_name(400, Reason.read(body), "max_tokens") is is_about_the_name
