"""What is known of models is asked for once, and there may be thousands of them."""

import asyncio
from collections.abc import Sequence

import pytest

from llamakeep.providers import described
from llamakeep.providers.described import KnownModels
from llamakeep.providers.registry import Registry
from tests.fakes import ScriptedProvider


class Asked(ScriptedProvider):
    """Counts how often it is asked for its models, and answers when it may."""

    def __init__(self, name: str = "scripted", models: Sequence[str] = ("m",)) -> None:
        super().__init__(name=name, models=models)
        self.times = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def models(self) -> Sequence[str]:
        self.times += 1
        await self.may_answer.wait()
        return await super().models()


async def test_many_readers_ask_providers_once() -> None:
    provider = Asked()
    known = KnownModels(Registry([provider]))
    provider.may_answer.clear()
    reading = [asyncio.create_task(known.described()) for _ in range(5)]
    await asyncio.sleep(0)
    provider.may_answer.set()

    found = await asyncio.gather(*reading)

    assert provider.times == 1
    assert {each[0].name for each in found} == {"scripted:m"}


async def test_what_is_known_is_asked_for_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(described, "CACHED", 0)
    provider = Asked()
    known = KnownModels(Registry([provider]))
    for _ in range(2):
        await known.described()

    assert provider.times == 2


async def test_a_new_set_of_upstreams_is_known_at_once() -> None:
    registry = Registry([Asked()])
    known = KnownModels(registry)
    await known.described()

    registry.become(Registry([Asked("other")]))

    assert [each.name for each in await known.described()] == ["other:m"]


async def test_one_provider_that_is_silent_keeps_no_other_from_being_asked() -> None:
    silent, other = Asked("silent"), Asked("other")
    silent.may_answer.clear()
    asking = asyncio.create_task(Registry([silent, other]).models())
    while not other.times:  # noqa: ASYNC110 - a task asks it
        await asyncio.sleep(0)
    silent.may_answer.set()

    assert await asking == ["silent:m", "other:m"]
