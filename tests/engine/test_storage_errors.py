"""No storage error ends a run or strands it, whichever method fails, and however."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from sqlalchemy import delete

from llamakeep.domain import (
    Limits,
    NewRun,
    Notification,
    NotificationEvent,
    Run,
    RunStatus,
    User,
    new_id,
)
from llamakeep.engine import Engine
from llamakeep.errors import (
    OutcomeUnknown,
    ProviderRateLimited,
    RunCanceled,
    RunInterrupted,
    RunNotFound,
    ServerStopping,
    StorageUnavailable,
)
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.database.tables import gates
from llamakeep.storage.runs.lookups import IdempotencyKey
from llamakeep.webhooks.delivery import Notifier
from llamakeep.webhooks.posting import Outcome
from tests.engine.engine import WHY, Reader
from tests.engine.lasting import LastingProvider, Prediction
from tests.fakes import ScriptedProvider
from tests.faulty_storage import FaultyStorage
from tests.storage.running import start

T = TypeVar("T")

LASTING = replace(WHY, model="lasting:parrot")
KEY = IdempotencyKey("0b5e-7", b"digest")
LONG = 5.0
"""Seconds that nothing in here takes."""


@dataclass
class Stage:
    """A server whose storage fails, and its client, who does not give up."""

    settings: Settings
    storage: Storage
    """One that works."""
    faulty: FaultyStorage
    user: User
    scripted: ScriptedProvider
    lasting: LastingProvider

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Engine]:
        registry = Registry([self.scripted, self.lasting])
        engine = Engine(self.settings, self.faulty, registry)
        await engine.open()
        try:
            yield engine
        finally:
            await engine.close()

    async def ask(
        self, engine: Engine, asked: NewRun = WHY, key: IdempotencyKey | None = None
    ) -> Run:
        while True:
            try:
                return await engine.accept(self.user, asked, idempotency_key=key)
            except OutcomeUnknown:
                raise  # asked again, it could be answered twice
            except StorageUnavailable:
                await asyncio.sleep(0.01)

    async def result(self, engine: Engine, run: Run) -> Run:
        """Wait for the end of `run`; again, if the server cannot tell it now."""
        async with asyncio.timeout(LONG):
            return await read_on(run, lambda: engine.result(run))

    async def all_ended(self) -> Sequence[Run]:
        """Wait until all runs have ended, and return them, the oldest first."""
        async with asyncio.timeout(LONG):
            while True:
                runs = await self.storage.history(self.user)
                if all(run.status.is_final for run in runs):
                    return runs[::-1]
                await asyncio.sleep(0.01)


async def tried(step: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await step()
        except StorageUnavailable:
            pass  # what was asked for may be asked for again
        await asyncio.sleep(0.01)


async def read_on(run: Run, step: Callable[[], Awaitable[T]]) -> T:
    """Do what `tried` does; each error says that `run` is kept."""
    told: list[StorageUnavailable] = []

    async def checked() -> T:
        try:
            return await step()
        except StorageUnavailable as error:
            told.append(error)
            raise

    result = await tried(checked)
    assert all(error.run_id == run.id for error in told)
    assert not any("othing was stored" in error.detail for error in told)
    return result


Scenario = Callable[[Stage], Awaitable[None]]


def has_answer(run: Run) -> bool:
    return (run.status, run.response) == (RunStatus.SUCCEEDED, "Hello, world")


async def plain(stage: Stage) -> None:
    async with stage.server() as engine:
        run = await stage.ask(engine)
        assert has_answer(await stage.result(engine, run))
    assert len(stage.scripted.requests) == 1


async def streamed(stage: Stage) -> None:
    go_on = asyncio.Event()
    stage.scripted.script = ["Hello", go_on, ", world"]
    async with stage.server() as engine:
        run = await stage.ask(engine)
        reader = Reader()
        reading = asyncio.create_task(read_on(run, lambda: reader.read(engine, run)))
        await reader.has_read.wait()
        await asyncio.sleep(0.05)  # texts are flushed, and leases renewed
        go_on.set()
        async with asyncio.timeout(LONG):
            assert has_answer(await reading)
    assert reader.text == "Hello, world"
    assert len(stage.scripted.requests) == 1


async def more_than_may_run(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"max_running": 1})
    async with stage.server() as engine:
        runs = [
            await stage.ask(engine, asked) for _ in range(2) for asked in (WHY, LASTING)
        ]
        for run in runs:
            assert has_answer(await stage.result(engine, run))
    assert len(stage.scripted.requests) == 2
    assert len(stage.lasting.predictions) == 2


async def conversation(stage: Stage) -> None:
    async with stage.server() as engine:
        first = await stage.ask(engine)
        await stage.result(engine, first)
        await stage.all_ended()
        asked = replace(WHY, conversation_id=first.conversation_id)
        assert has_answer(await stage.result(engine, await stage.ask(engine, asked)))
    assert [len(one.messages) for one in stage.scripted.requests] == [1, 3]


async def closed_gate(stage: Stage) -> None:
    stage.lasting.refusal = ProviderRateLimited(retry_after=0.05)
    async with stage.server() as engine:
        runs = [await stage.ask(engine, LASTING) for _ in range(3)]
        for run in runs:
            assert has_answer(await stage.result(engine, run))
    assert len(stage.lasting.predictions) == 3


async def lasting(stage: Stage) -> None:
    async with stage.server() as engine:
        run = await stage.result(engine, await stage.ask(engine, LASTING))
        assert has_answer(run)
    assert [each.handle for each in stage.lasting.predictions] == [run.handle]


async def lost_create(stage: Stage) -> None:
    stage.lasting.loses = 1
    async with stage.server() as engine:
        run = await stage.result(engine, await stage.ask(engine, LASTING))
        assert has_answer(run)
    assert [each.handle for each in stage.lasting.predictions] == [run.handle]


async def recovery(stage: Stage) -> None:
    attached = await start(stage.storage, stage.user, provider="lasting")
    begun = await start(stage.storage, stage.user, provider="lasting")
    queued = await start(stage.storage, stage.user, status=RunStatus.QUEUED, attempt=0)
    lost = await start(stage.storage, stage.user)
    for handle, run in (("one", attached), ("two", begun)):
        stage.lasting.predictions.append(Prediction(handle, run.id))
    await stage.storage.attach(attached, "one")
    async with stage.server() as engine:
        for run in (attached, begun, queued):
            assert has_answer(await stage.result(engine, run))
        with pytest.raises(RunInterrupted):
            await stage.result(engine, lost)
        await stage.all_ended()
    assert len(stage.lasting.predictions) == 2


async def cancel(stage: Stage) -> None:
    stage.scripted.script = ["Hello", asyncio.Event()]
    async with stage.server() as engine:
        run = await stage.ask(engine)
        async with asyncio.timeout(LONG):
            end = await tried(lambda: engine.cancel(stage.user, run.id))
        assert end.status is RunStatus.CANCELED
        with pytest.raises(RunCanceled):
            await stage.result(engine, run)
    assert not stage.scripted.open_answers


async def cancel_of_what_waits(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"max_running": 1})
    go_on = asyncio.Event()
    stage.scripted.script = ["Hello", go_on, ", world"]
    async with stage.server() as engine:
        first, second, third = [await stage.ask(engine) for _ in range(3)]
        async with asyncio.timeout(LONG):
            end = await tried(lambda: engine.cancel(stage.user, second.id))
        assert end.status is RunStatus.CANCELED
        go_on.set()
        assert has_answer(await stage.result(engine, first))
        assert has_answer(await stage.result(engine, third))
    assert len(stage.scripted.requests) == 2


async def cancel_of_a_prediction(stage: Stage) -> None:
    stage.lasting.script = ["Hello", asyncio.Event()]
    async with stage.server() as engine:
        run = await stage.ask(engine, LASTING)
        await asyncio.sleep(0.02)
        async with asyncio.timeout(LONG):
            end = await tried(lambda: engine.cancel(stage.user, run.id))
        assert end.status is RunStatus.CANCELED
    assert all(each.is_canceled for each in stage.lasting.predictions)


async def deletion(stage: Stage) -> None:
    stage.scripted.script = ["Hello", asyncio.Event()]
    async with stage.server() as engine:
        run = await stage.ask(engine)

        async def delete() -> None:
            try:
                await engine.delete(stage.user, run.id)
            except RunNotFound:
                assert stage.faulty.is_done  # it was gone at the first try

        async with asyncio.timeout(LONG):
            await tried(delete)
        assert await stage.storage.history(stage.user) == []


async def shutdown(stage: Stage) -> None:
    stage.settings = stage.settings.model_copy(update={"shutdown_grace": 0})
    stage.lasting.script = ["Hello", asyncio.Event()]
    async with stage.server() as engine:
        run = await stage.ask(engine, LASTING)
        reader = Reader()
        reading = asyncio.create_task(read_on(run, lambda: reader.read(engine, run)))
        await reader.has_read.wait()
    with pytest.raises(ServerStopping):
        async with asyncio.timeout(LONG):
            await reading
    stage.lasting = again = LastingProvider()
    again.predictions = [Prediction("p0", run.id)]
    async with stage.server() as engine:
        assert has_answer(await stage.result(engine, run))
    assert len(again.predictions) == 1


async def quotas(stage: Stage) -> None:
    limits = Limits(concurrent_runs=1)
    stage.settings = stage.settings.model_copy(update={"user_limits": limits})
    async with stage.server() as engine:
        for _ in range(2):
            assert has_answer(await stage.result(engine, await stage.ask(engine)))
            await stage.all_ended()
    assert len(stage.scripted.requests) == 2


async def idempotency(stage: Stage) -> None:
    async with stage.server() as engine:
        first = await stage.ask(engine, key=KEY)
        second = await stage.ask(engine, key=KEY)
        assert first.id == second.id
        assert has_answer(await stage.result(engine, second))
    assert len(stage.scripted.requests) == 1


class Receiver:
    """Takes every webhook."""

    def __init__(self) -> None:
        self.received = 0

    async def post(self, *_: object, seconds: float) -> Outcome:
        assert seconds
        self.received += 1
        return Outcome(status=200)


async def notifications(stage: Stage) -> None:
    receiver = Receiver()
    notifier = Notifier(
        stage.settings,
        stage.faulty,
        receiver,  # type: ignore[arg-type] # it takes all
        lambda *_: b"{}",
    )
    wanted = Notification(
        id=new_id("msg_"),
        event=NotificationEvent.END,
        url="https://hooks.test/",
        host="hooks.test",
        form="run",
    )
    await stage.storage.webhook_secrets(stage.user, fresh="whsec_c2VjcmV0")
    async with stage.server() as engine:
        notifier.open()
        run = await stage.ask(engine, replace(WHY, notifications=[wanted]))
        await stage.result(engine, run)
        async with asyncio.timeout(LONG):
            while not receiver.received:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        await notifier.close()


SCENARIOS: Sequence[Scenario] = (
    plain,
    streamed,
    more_than_may_run,
    conversation,
    closed_gate,
    lasting,
    lost_create,
    recovery,
    cancel,
    cancel_of_what_waits,
    cancel_of_a_prediction,
    deletion,
    shutdown,
    quotas,
    idempotency,
    notifications,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamakeep.engine.retries.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("llamakeep.engine.recovery.leases.SOON", 0.02)
    monkeypatch.setattr("llamakeep.engine.storing.STORING_PAUSES", (0.01, 0.02, 0.04))
    monkeypatch.setattr("llamakeep.webhooks.delivery.LOOK", 0.05)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "flush_interval": 0.01,
            "lease": 0.4,
            "settle_time": 0.02,
            "breaker_pause": 0.05,
            "shutdown_grace": 1,
        }
    )


async def play(
    scenario: Scenario,
    settings: Settings,
    storage: Storage,
    user: User,
    *,
    fails: dict[str, int] | None = None,
    delays: dict[str, float] | None = None,
    is_done: bool = False,
) -> FaultyStorage:
    """Let a scenario happen to runs of its own, all of which have ended then."""
    faulty = FaultyStorage(storage, fails, delays, is_done=is_done)
    stage = Stage(
        settings, storage, faulty, user, ScriptedProvider(), LastingProvider()
    )
    try:
        await scenario(stage)
        await stage.all_ended()
    except BaseException as error:
        error.add_note(f"{fails=} {delays=} {is_done=}")
        raise
    for run in await storage.history(user):
        await storage.delete_run(user, run.id)
    # What failed in one scenario is not to open the circuit in the next one.
    await storage._database.write(lambda c: c.execute(delete(gates)).close())
    return faulty


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_run_ends_well_whichever_method_fails_so_often(
    settings: Settings, storage: Storage, alice: User, scenario: Scenario, times: int
) -> None:
    used = (await play(scenario, settings, storage, alice)).calls

    for method in used:
        await play(scenario, settings, storage, alice, fails={method: times})


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_run_ends_well_when_nobody_is_told_that_a_commit_succeeded(
    settings: Settings, storage: Storage, alice: User, scenario: Scenario
) -> None:
    used = (await play(scenario, settings, storage, alice)).calls

    for method in used:
        await play(scenario, settings, storage, alice, fails={method: 1}, is_done=True)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_run_ends_well_whichever_method_is_slow(
    settings: Settings, storage: Storage, alice: User, scenario: Scenario
) -> None:
    used = (await play(scenario, settings, storage, alice)).calls

    for method in used:
        await play(scenario, settings, storage, alice, delays={method: 0.15})


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_run_ends_well_when_everything_fails_once(
    settings: Settings, storage: Storage, alice: User, scenario: Scenario
) -> None:
    used = (await play(scenario, settings, storage, alice)).calls

    await play(scenario, settings, storage, alice, fails=dict.fromkeys(used, 1))
