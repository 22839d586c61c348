"""What one user's flood means for the others."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from llamakeep.domain import User
from llamakeep.errors import ServerBusy, TooManyWaiting
from llamakeep.providers.base import CompletionRequest, Event
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider
from tests.waiting import until

FLOOD, SINGLE = replace(WHY, prompt="Flood"), replace(WHY, prompt="Single")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_running": 1, "shutdown_grace": 0})


class OneByOne(ScriptedProvider):
    """Answers a prompt each time it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Semaphore(0)

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        async for event in super().answer(request):
            if isinstance(event, str):
                await self.go_on.acquire()
                yield event
                break
            yield event
        yield self.finished

    @property
    def prompts(self) -> list[str]:
        return [request.messages[-1].content for request in self.requests]


async def test_a_flood_delays_another_users_prompt_by_one_turn(
    settings: Settings, storage: Storage, alice: User, bob: User
) -> None:
    provider = OneByOne()
    async with open_engine(settings, storage, provider) as engine:
        await asyncio.gather(*(engine.accept(alice, FLOOD) for _ in range(100)))
        single = await engine.accept(bob, SINGLE)

        for _ in range(3):
            provider.go_on.release()
        await engine.result(single)

        assert provider.prompts[:3] == ["Flood", "Flood", "Single"]


async def test_a_user_has_half_of_the_queue_and_others_have_the_rest(
    settings: Settings, storage: Storage, alice: User, bob: User
) -> None:
    settings = settings.model_copy(update={"max_queued": 4})
    async with open_engine(settings, storage, OneByOne()) as engine:
        for _ in range(3):
            await engine.accept(alice, FLOOD)

        with pytest.raises(TooManyWaiting, match="2 of your prompts") as refused:
            await engine.accept(alice, FLOOD)

        assert refused.value.retry_after is not None
        for _ in range(2):
            await engine.accept(bob, SINGLE)
        with pytest.raises(ServerBusy):
            await engine.accept(bob, SINGLE)
        assert len(await storage.history(alice)) == 3


async def test_a_canceled_run_leaves_its_place_to_the_next_prompt(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_queued": 2})
    async with open_engine(settings, storage, OneByOne()) as engine:
        _, queued = [await engine.accept(alice, FLOOD) for _ in range(2)]
        with pytest.raises(TooManyWaiting):
            await engine.accept(alice, FLOOD)

        await engine.cancel(alice, queued.id)

        await engine.accept(alice, FLOOD)


async def test_a_prompt_that_need_not_wait_is_taken_however_many_do(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_queued": 2})
    provider = OneByOne()
    async with open_engine(settings, storage, provider) as engine:
        first, second = [await engine.accept(alice, FLOOD) for _ in range(2)]
        for _ in range(2):
            provider.go_on.release()
        await asyncio.gather(engine.result(first), engine.result(second))
        await until(lambda: not engine.running)

        third = await engine.accept(alice, FLOOD)

        assert third.attempt == 1


async def test_runs_that_are_taken_over_take_turns_too(
    settings: Settings, storage: Storage, alice: User, bob: User
) -> None:
    async with open_engine(settings, storage, OneByOne()) as engine:
        for _ in range(5):
            await engine.accept(alice, FLOOD)
        single = await engine.accept(bob, SINGLE)

    provider = OneByOne()
    async with open_engine(
        settings.model_copy(update={"retry_interrupted": True}), storage, provider
    ) as engine:
        for _ in range(3):
            provider.go_on.release()
        await engine.result(await storage.get_run(bob, single.id))

        assert provider.prompts[:3].count("Single") == 1
