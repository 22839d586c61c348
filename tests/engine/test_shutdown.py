import asyncio
import time

import pytest

from llamakeep.domain import Run, RunStatus, User
from llamakeep.errors import RunInterrupted, ServerStopping, StorageUnavailable
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY, Reader, open_engine, until_stored
from tests.fakes import ScriptedProvider
from tests.waiting import LONG_ENOUGH


async def test_a_stopping_server_accepts_no_prompts(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        engine.stop_accepting()

        with pytest.raises(ServerStopping) as refusal:
            await engine.accept(alice, WHY)

        assert engine.is_stopping
    assert refusal.value.retry_after is not None
    assert await storage.history(alice) == []


async def test_runs_may_end_within_the_grace(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 3600})
    go_on = asyncio.Event()
    async with open_engine(
        settings, storage, ScriptedProvider(["Be", go_on, "cause."])
    ) as engine:
        run = await engine.accept(alice, WHY)
        waiting = asyncio.ensure_future(engine.result(run))
        closing = asyncio.ensure_future(engine.close())
        await until_stored(storage, alice, run, "Be")

        go_on.set()

        assert (await waiting).response == "Because."
        await closing
    assert (await storage.get_run(alice, run.id)).status is RunStatus.SUCCEEDED


async def test_after_the_grace_a_run_is_interrupted_with_its_text_so_far(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 0.05})
    provider = ScriptedProvider(["Be", asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        waiting = asyncio.ensure_future(engine.result(run))

        began = time.monotonic()
        await engine.close()

        assert time.monotonic() - began > 0.04  # the answer itself never ends
        with pytest.raises(RunInterrupted):
            await waiting
    stored = await storage.get_run(alice, run.id)
    assert (stored.status, stored.response) == (RunStatus.INTERRUPTED, "Be")
    assert provider.open_answers == 0


async def test_a_run_that_may_be_repeated_is_left_for_the_next_start(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 0, "flush_interval": 9})
    provider = ScriptedProvider(["Be", asyncio.Event()], is_free=True)
    reader = Reader()
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        reading = asyncio.ensure_future(reader.read(engine, run))
        await reader.has_read.wait()
        await engine.close()
        with pytest.raises(ServerStopping, match="kept"):
            await reading
    assert (await storage.get_run(alice, run.id)).response == "Be"

    provider.script = ["Be", "cause."]
    async with open_engine(settings, storage, provider) as engine:
        await reader.read(engine, run)

    assert (reader.text, reader.resets) == ("Because.", 0)


async def test_a_queued_run_is_answered_after_the_next_start(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 0, "max_running": 1})
    provider = ScriptedProvider([asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        await engine.accept(alice, WHY)
        queued = await engine.accept(alice, WHY)
    assert (await storage.get_run(alice, queued.id)).status is RunStatus.QUEUED

    provider.script = ["Hello"]
    async with open_engine(settings, storage, provider) as engine:
        assert (await engine.result(queued)).response == "Hello"


class BrokenStorage(Storage):
    async def finish(self, run: Run) -> bool:
        raise StorageUnavailable(f"The disk is full, and {run.id} waits.")


async def test_a_server_stops_although_its_disk_is_full(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llamakeep.engine.engine.LAST_WRITES", 0.05)
    broken = BrokenStorage(storage._database)
    async with open_engine(settings, broken, ScriptedProvider()) as engine:
        run = await engine.accept(alice, WHY)
        with pytest.raises(StorageUnavailable):
            await engine.result(run)
        engine.stop_accepting(grace=0)

        await engine.close()

        assert engine.running == 0
    assert (await storage.get_run(alice, run.id)).status.is_final is False


async def test_the_grace_can_be_cut_short(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"shutdown_grace": 3600})
    provider = ScriptedProvider([asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        engine.stop_accepting()

        engine.stop_accepting(grace=0)

        async with asyncio.timeout(LONG_ENOUGH):
            await engine.close()
    assert (await storage.get_run(alice, run.id)).status is RunStatus.INTERRUPTED
