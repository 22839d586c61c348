"""Runs for vectors, whose clients alone have a use for them."""

import asyncio

import pytest

from llamakeep.domain import NewRun, Parameters, RunStatus, User
from llamakeep.errors import RunInterrupted
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import open_engine
from tests.fakes import EmbeddingProvider
from tests.storage.running import start
from tests.waiting import until

VECTORS = Parameters(embedding={})


@pytest.mark.parametrize(
    ("status", "attempt"), [(RunStatus.QUEUED, 0), (RunStatus.STARTING, 1)]
)
async def test_vectors_that_a_process_left_are_not_made_for_a_client_that_is_gone(
    settings: Settings, storage: Storage, alice: User, status: RunStatus, attempt: int
) -> None:
    run = await start(
        storage, alice, status=status, attempt=attempt, parameters=VECTORS
    )
    provider = EmbeddingProvider(is_free=True)

    async with open_engine(settings, storage, provider) as engine:
        with pytest.raises(RunInterrupted, match="vectors"):
            await engine.result(run)

    stored = await storage.get_run(alice, run.id)
    assert stored.status is RunStatus.INTERRUPTED
    assert provider.requests == []


async def test_a_server_that_stops_ends_what_vectors_are_made_of(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = EmbeddingProvider(is_free=True, before_accepting=asyncio.Event())
    quick = settings.model_copy(update={"shutdown_grace": 0})

    async with open_engine(quick, storage, provider) as engine:
        run = await engine.accept(alice, NewRun(prompt="Salt", parameters=VECTORS))
        await until(lambda: bool(provider.requests))
        waiting = asyncio.create_task(engine.result(run))
        await asyncio.sleep(0)
    with pytest.raises(RunInterrupted, match="vectors"):
        await waiting

    stored = await storage.get_run(alice, run.id)
    assert (stored.status, stored.prompt) == (RunStatus.INTERRUPTED, "Salt")
