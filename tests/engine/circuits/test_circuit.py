"""A provider that wants to be left alone for a while is, and no prompt is lost."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from llamakeep.domain import NewRun, Run, RunStatus, User, utc_now
from llamakeep.engine.circuits import rules as circuit_rules
from llamakeep.engine.circuits.rules import FAILURES
from llamakeep.errors import (
    LlamaKeepError,
    PromptRejected,
    ProviderError,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnauthenticated,
    ProviderUnavailable,
    RunCanceled,
    ServerBusy,
    ServerStopping,
)
from llamakeep.providers.base import Accepted, Candidate, CompletionRequest, Event
from llamakeep.settings import Settings
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.runs.circuits import Circuit
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider
from tests.storage.running import start
from tests.waiting import LONG_ENOUGH, until

ELSEWHERE = NewRun(prompt="Why?", model="other:parrot")


class AskedOnce(ScriptedProvider):
    """
    Goes on answering without us; refuses as often as it is told to.

    Args:
        refusals: What it answers to the first ones who ask, `None` being yes.
    """

    marks_answers = False
    is_idempotent = False

    def __init__(self, *refusals: LlamaKeepError | None) -> None:
        super().__init__()
        self.refusals = list(refusals)
        self.finds = 0
        self.resumed: list[str] = []

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        self.refusal = self.refusals.pop(0) if self.refusals else None
        async for event in super().answer(request):
            if isinstance(event, Accepted):
                yield replace(event, handle=f"answer to {request.run_id}")
            else:
                yield event

    async def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        self.resumed.append(handle)
        async for event in super().answer(request):
            yield event

    async def find(
        self,
        request: CompletionRequest,  # noqa: ARG002 - nothing is ever found
        *,
        within: timedelta,  # noqa: ARG002 - same
    ) -> Sequence[Candidate]:
        self.finds += 1
        return []

    async def is_proven(self, request: CompletionRequest, handle: str) -> bool:
        return handle == f"answer to {request.run_id}"

    def hint(self, handle: str) -> None:
        pass

    def now(self) -> datetime | None:
        return None

    def detach(self) -> None:
        pass

    async def cancel(self, handle: str) -> None:
        pass


def later(seconds: float | None = 60) -> ProviderRateLimited:
    return ProviderRateLimited("Slow down.", retry_after=seconds)


def lost(kind: type[ProviderError] = ProviderUnavailable) -> ProviderError:
    """Return a failure after which the provider may be answering all the same."""
    error = kind("It broke off.")
    error.answer_may_exist = True
    return error


async def circuit_of(storage: Storage) -> Circuit:
    [circuit] = await storage.circuits()
    return circuit


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "breaker_pause": 0.1,
            "settle_time": 0.01,
            "shutdown_grace": 0,
            "run_timeout": 10,
        }
    )


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamakeep.engine.circuits.upstreams.STAGGER", 0.01)
    monkeypatch.setattr("llamakeep.engine.circuits.upstreams.UNSAID_PAUSE", 0.05)


@pytest.mark.parametrize("seconds", [0, 0.1, None])
async def test_a_prompt_that_the_provider_wants_to_hear_later_is_sent_again_later(
    settings: Settings, storage: Storage, alice: User, seconds: float | None
) -> None:
    provider = AskedOnce(later(seconds))
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.result(await engine.accept(alice, WHY))

        assert run.response == "Hello, world"
        assert len(provider.requests) == 2
        assert provider.finds == 0
    circuit = await circuit_of(storage)
    assert circuit == Circuit("scripted", circuit.now)


async def test_nothing_is_sent_before_the_provider_wants_to_hear_it(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = AskedOnce(later(0.6))
    async with open_engine(settings, storage, provider) as engine:
        runs = [await engine.accept(alice, WHY)]
        await until(lambda: provider.requests)
        runs += [await engine.accept(alice, WHY) for _ in range(3)]
        await asyncio.sleep(0.2)
        assert len(provider.requests) == 1

        ends = [await engine.result(run) for run in runs]

    assert {run.response for run in ends} == {"Hello, world"}
    assert len(provider.requests) == 5
    first = min(end.started_at for end in ends if end.started_at)
    assert first - runs[0].created_at > timedelta(seconds=0.29)


async def test_a_closed_circuit_costs_no_statement(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"flush_interval": 9})
    async with open_engine(settings, storage, AskedOnce()) as engine:
        before = storage.commits
        assert before is not None

        for _ in range(3):
            await engine.result(await engine.accept(alice, WHY))

        # Accepted, attached, finished.
        assert storage.commits == before + 3 * 3
    assert await storage.circuits() == []


async def test_a_run_that_waits_for_its_provider_has_no_slot(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1})
    other = ScriptedProvider(name="other")
    async with open_engine(settings, storage, AskedOnce(later()), other) as engine:
        waiting = [await engine.accept(alice, WHY) for _ in range(3)]

        elsewhere = await engine.result(await engine.accept(alice, ELSEWHERE))

        assert elsewhere.response == "Hello, world"

        for run in waiting:
            stored = await storage.get_run(alice, run.id)
            assert (stored.status, stored.started_at) == (RunStatus.QUEUED, None)


async def test_when_too_many_wait_prompts_are_refused(
    settings: Settings, storage: Storage, alice: User, bob: User
) -> None:
    settings = settings.model_copy(update={"max_running": 1, "max_queued": 4})
    async with open_engine(settings, storage, AskedOnce(later())) as engine:
        for user in (alice, alice, bob, bob, await storage.add_user("carol", None)):
            await engine.accept(user, WHY)

        with pytest.raises(ServerBusy) as refusal:
            await engine.accept(alice, WHY)

        assert refusal.value.retry_after is not None


async def test_a_waiting_run_can_be_canceled(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = AskedOnce(later())
    async with open_engine(settings, storage, provider) as engine:
        first, second = await engine.accept(alice, WHY), await engine.accept(alice, WHY)
        await until_queued(storage, alice, first)
        waiting = asyncio.ensure_future(engine.result(second))

        canceled = [await engine.cancel(alice, run.id) for run in (first, second)]

        assert {run.status for run in canceled} == {RunStatus.CANCELED}
        with pytest.raises(RunCanceled):
            await waiting
    assert len(provider.requests) == 1


async def test_a_waiting_run_is_left_for_the_next_process_which_waits_too(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = AskedOnce(later(0.5))
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, WHY)
        await until_queued(storage, alice, run)
        waiting = asyncio.ensure_future(engine.result(run))
        await asyncio.sleep(0)
    with pytest.raises(ServerStopping):
        await waiting

    async with open_engine(settings, storage, provider) as engine:
        await asyncio.sleep(0.1)
        assert len(provider.requests) == 1

        assert (await engine.result(run)).response == "Hello, world"

    # Nobody had heard of it, so nobody had to look for it.
    assert (len(provider.requests), provider.finds) == (2, 0)


async def test_who_has_waited_for_as_long_as_a_run_may_take_is_told_why(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"run_timeout": 0.2})
    async with open_engine(settings, storage, AskedOnce(later(30))) as engine:
        run = await engine.accept(alice, WHY)

        with pytest.raises(ProviderRateLimited, match=r"Slow down\. .* kept") as end:
            await engine.result(run)

    assert end.value.retry_after is not None
    assert 20 < end.value.retry_after < 40
    stored = await storage.get_run(alice, run.id)
    assert (stored.status, stored.attempt) == (RunStatus.FAILED, 1)


async def test_no_provider_can_open_its_circuit_for_long(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, AskedOnce(later(86400))) as engine:
        await until_queued(storage, alice, await engine.accept(alice, WHY))

    circuit = await circuit_of(storage)
    assert circuit.open_until is not None
    assert circuit.open_until - circuit.now <= timedelta(seconds=360)


@pytest.mark.parametrize("kind", [ProviderUnavailable, ProviderTimeout])
async def test_after_five_failures_prompts_wait_and_are_answered(
    settings: Settings, storage: Storage, alice: User, kind: type[ProviderError]
) -> None:
    provider = AskedOnce(*(kind("It is not there.") for _ in range(FAILURES + 1)))
    async with open_engine(settings, storage, provider) as engine:
        for _ in range(FAILURES - 1):
            with pytest.raises(kind):
                await engine.result(await engine.accept(alice, WHY))

        runs = [await engine.accept(alice, WHY) for _ in range(3)]
        ends = [await engine.result(run) for run in runs]

    assert [run.status for run in ends] == [RunStatus.SUCCEEDED] * 3
    circuit = await circuit_of(storage)
    assert circuit == Circuit("scripted", circuit.now)


async def test_a_lost_answer_counts_and_is_looked_for_before_asking_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = AskedOnce(*(lost() for _ in range(FAILURES)))
    async with open_engine(settings, storage, provider) as engine:
        runs = [await engine.accept(alice, WHY) for _ in range(FAILURES)]

        ends = [await engine.result(run) for run in runs]

    assert [run.status for run in ends] == [RunStatus.SUCCEEDED] * FAILURES
    assert provider.finds == 2 * FAILURES
    assert len(provider.requests) == 2 * FAILURES


async def test_an_answer_in_between_makes_the_count_start_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    four = [ProviderUnavailable() for _ in range(FAILURES - 1)]
    provider = AskedOnce(*four, None, *four)
    async with open_engine(settings, storage, provider) as engine:
        for _ in range(2 * len(four) + 1):
            run = await engine.accept(alice, WHY)
            await until_it_is(storage, alice, run, lambda now: now.status.is_final)

    circuit = await circuit_of(storage)
    assert (circuit.failures, circuit.open_until) == (FAILURES - 1, None)


@pytest.mark.parametrize(
    "refusal", [ProviderUnauthenticated, ProviderOutOfCredit, PromptRejected]
)
async def test_refusals_open_no_circuit(
    settings: Settings, storage: Storage, alice: User, refusal: type[LlamaKeepError]
) -> None:
    provider = AskedOnce(*(refusal() for _ in range(FAILURES + 1)))
    async with open_engine(settings, storage, provider) as engine:
        for _ in range(FAILURES + 1):
            with pytest.raises(refusal):
                await engine.result(await engine.accept(alice, WHY))

    assert await storage.circuits() == []


async def test_a_server_that_asked_too_late_opens_no_circuit(
    settings: Settings, storage: Storage, alice: User
) -> None:
    late = [lost() for _ in range(FAILURES + 1)]
    for error in late:
        error.was_tried = False
    provider = AskedOnce(*late)
    async with open_engine(settings, storage, provider) as engine:
        runs = [await engine.accept(alice, WHY) for _ in late]
        for run in runs:
            assert (await engine.result(run)).response == "Hello, world"

    assert await storage.circuits() == []


async def test_one_goes_first_and_the_others_follow_when_it_was_heard(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = AskedOnce(later(0.05))
    async with open_engine(settings, storage, provider) as engine:
        runs = [await engine.accept(alice, WHY, is_followed=False)]
        await until_queued(storage, alice, runs[0])
        provider.before_accepting = asyncio.Event()
        runs += [await engine.accept(alice, WHY) for _ in range(5)]
        await until(lambda: len(provider.requests) == 2)
        await asyncio.sleep(0.1)

        assert len(provider.requests) == 2
        assert provider.requests[1].run_id == runs[0].id
        assert provider.requests[1].is_followed  # the others want to know
        provider.before_accepting.set()

        for run in runs:
            await engine.result(run)
    assert [request.run_id for request in provider.requests[1:]] == [
        run.id for run in runs
    ]


@pytest.mark.parametrize("way", ["canceled", "refused", "limited again"])
async def test_when_who_goes_first_is_not_heard_another_one_goes(
    settings: Settings, storage: Storage, alice: User, way: str
) -> None:
    second = {"refused": PromptRejected(), "limited again": later(0.05)}.get(way)
    provider = AskedOnce(later(0.05), second)
    async with open_engine(settings, storage, provider) as engine:
        first = await engine.accept(alice, WHY)
        await until_queued(storage, alice, first)
        provider.before_accepting = asyncio.Event()
        other = await engine.accept(alice, WHY)
        await until(lambda: len(provider.requests) == 2)
        if way == "canceled":
            await engine.cancel(alice, first.id)
        provider.before_accepting.set()

        async with asyncio.timeout(LONG_ENOUGH):
            assert (await engine.result(other)).response == "Hello, world"


async def test_what_was_begun_is_fetched_through_an_open_circuit(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await start(storage, alice)
    await storage.attach(run, "there")
    await storage.change_circuit(
        "scripted", lambda circuit: circuit_rules.opened(circuit, 60, later(), None)
    )
    provider = AskedOnce()

    async with open_engine(settings, storage, provider) as engine:
        assert (await engine.result(run)).response == "Hello, world"

    assert provider.resumed == ["there"]


async def test_what_one_node_was_told_keeps_all_from_asking(
    settings: Settings, clean_postgres_url: str
) -> None:
    here, there = AskedOnce(later(0.5)), AskedOnce()
    async with (
        open_storage(clean_postgres_url) as storage,
        open_storage(clean_postgres_url) as other_storage,
        open_engine(settings, storage, here) as engine,
        open_engine(settings, other_storage, there) as other,
    ):
        alice = await storage.add_user("alice", None)
        runs = [await engine.accept(alice, WHY)]
        await until_queued(storage, alice, runs[0])
        await asyncio.sleep(3 * settings.flush_interval)
        runs.append(await other.accept(alice, WHY))
        await asyncio.sleep(0.1)

        assert (len(here.requests), len(there.requests)) == (1, 0)

        ends = [await other.result(run) for run in runs]

    assert {run.response for run in ends} == {"Hello, world"}
    assert (len(here.requests), len(there.requests)) == (2, 1)


def test_a_circuit_opens_for_longer_each_time_and_for_a_minute_at_most() -> None:
    circuit = Circuit("replicate", utc_now(), failures=FAILURES - 1)
    open_for = []
    for _ in range(6):
        circuit = circuit_rules.failed(
            circuit, 10, ProviderUnavailable(), circuit.open_until
        )
        assert circuit.open_until is not None
        open_for.append((circuit.open_until - circuit.now).total_seconds())

    for seconds, least in zip(open_for, [10, 20, 40, 60, 60, 60], strict=True):
        assert least <= seconds <= 1.2 * least


def test_a_circuit_that_was_opened_again_is_not_closed_by_an_earlier_probe() -> None:
    circuit = Circuit("replicate", utc_now(), open_until=utc_now())
    probed = circuit_rules.probed(circuit)
    again = circuit_rules.opened(probed, 60, later(), None)

    assert circuit_rules.succeeded(again, probed.open_until) == again
    assert circuit_rules.given_up(again, probed.open_until or circuit.now) == again
    assert circuit_rules.probed(again) == again


async def until_queued(storage: Storage, user: User, run: Run) -> None:
    """Return once `run`, which was sent, waits again."""
    await until_it_is(
        storage, user, run, lambda now: now.attempt == 1 and now.status == "queued"
    )


async def until_it_is(
    storage: Storage, user: User, run: Run, is_so: Callable[[Run], bool]
) -> None:
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            if is_so(await storage.get_run(user, run.id)):
                return
            await asyncio.sleep(0.001)
