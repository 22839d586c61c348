"""What the engine may rely on, whoever answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from llamakeep.domain import Parameters
from llamakeep.providers.base import Accepted, CompletionRequest, Provider
from llamakeep.providers.openai.provider import OpenAIProvider
from tests.fakes import ScriptedProvider
from tests.providers.asking import ask, request
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    delta,
    head,
    running_stub,
    usage,
)


@pytest.fixture
def scripted() -> Provider:
    return ScriptedProvider()


@pytest.fixture
async def openai() -> AsyncIterator[Provider]:
    words = [delta(word) for word in ("Hello", ", ", "world")]
    async with running_stub(head(), *words, STOP, usage(7, 3), DONE, END) as stub:
        provider = OpenAIProvider(stub.base_url, models=("parrot",))
        yield provider
        await provider.close()


@pytest.fixture(
    params=[
        "scripted",
        "openai",
        pytest.param("local", marks=pytest.mark.slow),
        "replicate",
    ]
)
def provider(request: pytest.FixtureRequest) -> Provider:
    chosen: Provider = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
async def prompt(provider: Provider) -> CompletionRequest:
    model = await provider.default_model()
    return request("Hi", model=model, parameters=Parameters(max_tokens=8))


async def test_an_answer_is_accepted_then_said_then_finished(
    provider: Provider, prompt: CompletionRequest
) -> None:
    answer = await ask(provider, prompt)  # it checks the order

    assert answer.text
    assert answer.finished is not None
    assert answer.finished.finish_reason in {"stop", "length"}


async def test_no_delta_is_empty(provider: Provider, prompt: CompletionRequest) -> None:
    answer = await ask(provider, prompt)

    assert all(answer.deltas)


async def test_usage_is_told(provider: Provider, prompt: CompletionRequest) -> None:
    answer = await ask(provider, prompt)

    assert answer.finished is not None
    assert (answer.finished.usage.input_tokens or 0) > 0
    assert (answer.finished.usage.output_tokens or 0) > 0


async def test_the_default_model_is_served(provider: Provider) -> None:
    assert provider.serves(await provider.default_model())


async def test_the_models_begin_with_the_default_one(provider: Provider) -> None:
    assert (await provider.models())[0] == await provider.default_model()


async def test_others_get_a_turn_between_two_deltas(
    provider: Provider, prompt: CompletionRequest
) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(take_turns())
    async with aclosing(provider.answer(prompt)) as events:
        seen = [turns async for event in events if isinstance(event, str)]
    task.cancel()

    assert len(set(seen)) == len(seen)


async def test_an_answer_can_be_left_at_any_point(
    provider: Provider, prompt: CompletionRequest
) -> None:
    async with aclosing(provider.answer(prompt)) as events:
        assert isinstance(await anext(events), Accepted)

    assert (await ask(provider, prompt)).text


async def test_an_answer_can_be_canceled(
    provider: Provider, prompt: CompletionRequest
) -> None:
    task = asyncio.create_task(ask(provider, prompt))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=2)

    assert task.cancelled()
    assert (await ask(provider, prompt)).text


async def test_several_prompts_are_answered_at_once(
    provider: Provider, prompt: CompletionRequest
) -> None:
    answers = await asyncio.gather(*(ask(provider, prompt) for _ in range(4)))

    assert all(answer.text and answer.finished for answer in answers)
