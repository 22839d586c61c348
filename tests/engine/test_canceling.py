import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from llamakeep.domain import Run, RunStatus, User
from llamakeep.engine import Engine
from llamakeep.errors import RunCanceled, RunNotFound
from llamakeep.providers.base import (
    Candidate,
    CompletionRequest,
    Event,
    ReattachableProvider,
)
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY, Reader, open_engine, until_stored
from tests.fakes import ScriptedProvider
from tests.storage.running import ended, start
from tests.waiting import LONG_ENOUGH, until


def is_canceled(run: Run, text: str = "") -> bool:
    return (
        run.status is RunStatus.CANCELED
        and run.error_code == "run-canceled"
        and run.response == text
        and run.finished_at is not None
    )


async def test_a_queued_run_can_be_canceled(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1})
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on])
    async with open_engine(settings, storage, provider) as engine:
        first, queued = [await engine.accept(alice, WHY) for _ in range(2)]

        canceled = await engine.cancel(alice, queued.id)

        assert is_canceled(canceled)
        assert await storage.get_run(alice, queued.id) == canceled
        go_on.set()
        await engine.result(first)
        assert len(provider.requests) == 1
        await engine.result(await engine.accept(alice, WHY))


async def test_a_run_can_be_canceled_before_its_provider_accepts_it(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(before_accepting=asyncio.Event())
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        await until(lambda: provider.open_answers)

        assert is_canceled(await engine.cancel(alice, run.id))

        assert provider.open_answers == 0


async def test_a_canceled_run_keeps_its_text_and_its_provider_stops(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(["Be", asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        reader = Reader()
        reading = asyncio.ensure_future(reader.read(engine, run))
        waiting = asyncio.ensure_future(engine.result(run))
        await reader.has_read.wait()

        canceled = await engine.cancel(alice, run.id)

        assert is_canceled(canceled, "Be")
        assert await reading == canceled
        with pytest.raises(RunCanceled):
            await waiting
    assert provider.closed_early == 1


async def test_a_finished_run_stays_as_it_is(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await engine.result(await engine.accept(alice, WHY))

        assert await engine.cancel(alice, run.id) == run


class SlowStorage(Storage):
    """A storage that waits before it claims and finishes runs."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage._database)
        self.may_write = asyncio.Event()
        self.is_asked = asyncio.Event()

    async def finish(self, run: Run) -> bool:
        await self._wait()
        return await super().finish(run)

    async def claim(self, run: Run, **options: Any) -> bool:
        is_claimed = await super().claim(run, **options)
        await self._wait()
        return is_claimed

    async def _wait(self) -> None:
        self.is_asked.set()
        await self.may_write.wait()


async def test_a_cancel_that_comes_while_the_end_is_written_changes_nothing(
    settings: Settings, storage: Storage, alice: User
) -> None:
    slow = SlowStorage(storage)
    async with open_engine(settings, slow, ScriptedProvider()) as engine:
        run = await engine.accept(alice, WHY)
        await slow.is_asked.wait()
        canceling = asyncio.ensure_future(engine.cancel(alice, run.id))
        await until_cancel_is_asked(storage, alice, run)

        slow.may_write.set()

        assert (await canceling).status is RunStatus.SUCCEEDED
        assert (await engine.result(run)).response == "Hello, world"


class SlowToClaim(SlowStorage):
    """A storage that waits only before it tells of a claim."""

    async def finish(self, run: Run) -> bool:
        return await Storage.finish(self, run)


async def test_a_cancel_that_meets_the_claim_of_a_queued_run_ends_it(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1})
    slow = SlowToClaim(storage)
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on])
    async with open_engine(settings, slow, provider) as engine:
        first, queued, last = [await engine.accept(alice, WHY) for _ in range(3)]
        assert queued.status is last.status is RunStatus.QUEUED
        go_on.set()
        await engine.result(first)
        await slow.is_asked.wait()

        canceling = asyncio.ensure_future(engine.cancel(alice, queued.id))
        await until_cancel_is_asked(storage, alice, queued)
        await asyncio.sleep(0.01)
        slow.may_write.set()

        async with asyncio.timeout(LONG_ENOUGH):
            assert is_canceled(await canceling)
            await engine.result(last)


async def test_nobody_cancels_or_deletes_the_run_of_somebody_else(
    settings: Settings, storage: Storage, alice: User, bob: User
) -> None:
    go_on = asyncio.Event()
    async with open_engine(
        settings, storage, ScriptedProvider([go_on, "Hello"])
    ) as engine:
        run = await engine.accept(alice, WHY)

        with pytest.raises(RunNotFound):
            await engine.cancel(bob, run.id)
        with pytest.raises(RunNotFound):
            await engine.delete(bob, run.id)

        go_on.set()
        assert (await engine.result(run)).response == "Hello"


async def test_a_run_that_is_going_on_can_be_deleted(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider(["Be", asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        await until_stored(storage, alice, run, "Be")

        await engine.delete(alice, run.id)

        assert await storage.history(alice) == []
        assert provider.open_answers == 0
        await until(lambda: not engine.running)


async def test_a_cancel_reaches_the_node_that_holds_the_run(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"lease": 0.1})
    provider = ScriptedProvider([asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        waiting = asyncio.ensure_future(engine.result(run))

        await storage.request_cancel(alice, run.id)  # as another node does

        with pytest.raises(RunCanceled):
            await waiting


async def test_a_cancel_waits_for_the_other_node(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await start(storage, alice)
        canceling = asyncio.ensure_future(engine.cancel(alice, run.id))
        await until_cancel_is_asked(storage, alice, run)

        await storage.finish(ended(run, RunStatus.CANCELED, error_code="run-canceled"))

        assert is_canceled(await canceling)


class SlowToStop(ScriptedProvider):
    """Can be asked for the same answer again; takes its time to be told to stop."""

    marks_answers = False
    is_idempotent = False

    def __init__(self) -> None:
        super().__init__()
        self.canceling: list[str] = []
        self.may_stop = asyncio.Event()

    async def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        assert handle in self.canceling
        async for event in self.answer(request):
            yield event

    async def find(
        self, request: CompletionRequest, *, within: timedelta
    ) -> Sequence[Candidate]:
        return [Candidate(f"{request.run_id} within {within}", is_proven=False)]

    async def is_proven(self, request: CompletionRequest, handle: str) -> bool:
        return handle.startswith(request.run_id)

    def hint(self, handle: str) -> None:
        self.canceling.append(f"hint {handle}")

    def now(self) -> datetime | None:
        return None

    def detach(self) -> None:
        pass

    async def cancel(self, handle: str) -> None:
        self.canceling.append(handle)
        await self.may_stop.wait()


async def test_a_run_that_is_canceled_after_a_crash_can_be_canceled_again_meanwhile(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    await storage.attach(run, "there")
    await storage.request_cancel(alice, run.id)
    provider = SlowToStop()
    assert isinstance(provider, ReattachableProvider)

    async with open_engine(settings, storage, provider) as engine:
        await until(lambda: provider.canceling)
        canceling = asyncio.ensure_future(engine.cancel(alice, run.id))
        await asyncio.sleep(0.05)
        provider.may_stop.set()
        async with asyncio.timeout(LONG_ENOUGH):
            assert is_canceled(await canceling)

    assert provider.canceling == ["there"]


async def test_a_canceled_run_frees_its_slot(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1})
    provider = ScriptedProvider([asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        await cancel_one(engine, alice)

        provider.script = ["Hello"]

        assert (
            await engine.result(await engine.accept(alice, WHY))
        ).response == "Hello"


async def cancel_one(engine: Engine, user: User) -> None:
    await engine.cancel(user, (await engine.accept(user, WHY)).id)


async def until_cancel_is_asked(storage: Storage, user: User, run: Run) -> None:
    while True:
        if (await storage.get_run(user, run.id)).cancel_requested:
            return
        await asyncio.sleep(0.001)
