"""How many runs an upstream has at the same time, and what that means for others."""

import asyncio
from dataclasses import replace

import pytest

from llamakeep.domain import NewRun, RunStatus, User
from llamakeep.errors import ProviderUnauthenticated
from llamakeep.providers.base import Provider
from llamakeep.providers.facts import UpstreamFacts
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import Member
from llamakeep.storage import Storage
from tests.engine.engine import open_with
from tests.fakes import ScriptedProvider
from tests.waiting import until

SLOW, OTHER = NewRun(prompt="Why?", model="slow:m"), NewRun(prompt="?", model="other:m")
ANY = replace(SLOW, model="any")
ALIASES = {
    "any": [[Member("slow", "m")], [Member("other", "m")]],
    "back": [[Member("other", "m")], [Member("slow", "m")]],
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_running": 3, "shutdown_grace": 0})


class Slow(ScriptedProvider):
    """Begins to answer, and goes on each time it is let."""

    def __init__(self) -> None:
        super().__init__(name="slow", models=["m"])
        self.go_on = asyncio.Event()
        self.script = ("Well, ", self.go_on, "because.")

    @property
    def prompts(self) -> list[str]:
        return [request.messages[-1].content for request in self.requests]


def registry_of(*providers: Provider, parallel: int) -> Registry:
    facts = {"slow": UpstreamFacts(parallel=parallel)}
    return Registry(providers, facts=facts, aliases=ALIASES)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def other() -> ScriptedProvider:
    return ScriptedProvider(name="other", models=["m"])


async def test_no_more_runs_are_at_an_upstream_than_it_may_have(
    settings: Settings, storage: Storage, alice: User, slow: Slow
) -> None:
    registry = registry_of(slow, parallel=2)
    async with open_with(settings, storage, registry) as engine:
        runs = [await engine.accept(alice, SLOW) for _ in range(5)]
        await until(lambda: len(slow.requests) == 2)
        stored = [await storage.get_run(alice, run.id) for run in runs]
        slow.script = ["Because."]
        slow.go_on.set()
        ends = [await engine.result(run) for run in runs]

    assert [run.status for run in stored].count(RunStatus.QUEUED) == 3
    assert {run.status for run in ends} == {RunStatus.SUCCEEDED}


async def test_runs_that_wait_for_an_upstream_leave_the_slots_to_others(
    settings: Settings, storage: Storage, alice: User, slow: Slow, other: Provider
) -> None:
    registry = registry_of(slow, other, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        for _ in range(9):
            await engine.accept(alice, SLOW)

        for _ in range(3):
            answered = await engine.result(await engine.accept(alice, OTHER))

    assert answered.provider == "other"
    assert len(slow.requests) == 1


async def test_users_take_turns_at_a_full_upstream(
    settings: Settings, storage: Storage, alice: User, bob: User, slow: Slow
) -> None:
    registry = registry_of(slow, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        for _ in range(9):
            await engine.accept(alice, replace(SLOW, prompt="Flood"))
        single = await engine.accept(bob, replace(SLOW, prompt="Single"))
        slow.script = ["Because."]
        slow.go_on.set()
        await engine.result(single)

        assert slow.prompts[:3] == ["Flood", "Flood", "Single"]


async def test_a_run_that_is_canceled_while_it_waits_takes_no_place(
    settings: Settings, storage: Storage, alice: User, slow: Slow
) -> None:
    registry = registry_of(slow, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        first, second, third = [await engine.accept(alice, SLOW) for _ in range(3)]
        await until(lambda: slow.requests)

        canceled = await engine.cancel(alice, second.id)
        slow.go_on.set()
        ends = [await engine.result(run) for run in (first, third)]

    assert canceled.status is RunStatus.CANCELED
    assert {run.status for run in ends} == {RunStatus.SUCCEEDED}
    assert len(slow.requests) == 2


async def test_another_bound_counts_at_once_and_ends_no_run(
    settings: Settings, storage: Storage, alice: User, slow: Slow
) -> None:
    registry = registry_of(slow, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        runs = [await engine.accept(alice, SLOW) for _ in range(4)]
        registry.become(registry_of(slow, parallel=3))
        await engine.follow_upstreams([])
        await until(lambda: len(slow.requests) == 3)

        registry.become(registry_of(slow, parallel=1))
        await engine.follow_upstreams([])
        await engine.cancel(alice, runs[0].id)
        assert slow.open_answers == 2
        assert len(slow.requests) == 3
        slow.go_on.set()
        ends = [await engine.result(run) for run in runs[1:]]

    assert {run.status for run in ends} == {RunStatus.SUCCEEDED}


async def test_an_alias_waits_for_a_full_upstream(
    settings: Settings, storage: Storage, alice: User, slow: Slow, other: Provider
) -> None:
    registry = registry_of(slow, other, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        runs = [await engine.accept(alice, ANY) for _ in range(3)]
        await until(lambda: slow.requests)
        slow.go_on.set()
        ends = [await engine.result(run) for run in runs]

    assert {run.provider for run in ends} == {"slow"}


async def test_runs_that_waited_when_the_process_ended_wait_in_the_next_one(
    settings: Settings, storage: Storage, alice: User, slow: Slow
) -> None:
    registry = registry_of(slow, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        runs = [await engine.accept(alice, SLOW) for _ in range(4)]
        await until(lambda: slow.requests)

    async with open_with(settings, storage, registry) as engine:
        await until(lambda: len(slow.requests) == 2)
        waiting = [run for run in engine.live.values() if run.is_waiting]
        slow.go_on.set()
        ends = [await engine.result(run) for run in runs[1:]]

    assert len(waiting) == 2
    assert {run.status for run in ends} == {RunStatus.SUCCEEDED}


async def test_what_waited_for_an_upstream_that_is_gone_at_the_next_start_falls_back(
    settings: Settings, storage: Storage, alice: User, slow: Slow, other: Provider
) -> None:
    registry = registry_of(slow, other, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        runs = [await engine.accept(alice, ANY) for _ in range(2)]
        alone = await engine.accept(alice, SLOW)
        await until(lambda: slow.requests)

    async with open_with(settings, storage, Registry([other])) as engine:
        asked, waited, alone = [await engine.end_of(run) for run in (*runs, alone)]

    assert [each.status for each in (asked, waited, alone)] == [
        RunStatus.INTERRUPTED,
        RunStatus.SUCCEEDED,
        RunStatus.INTERRUPTED,
    ]
    assert waited.parameters.route is not None
    assert waited.parameters.route["passed"] == [
        {"model": "slow:m", "reason": "no-provider", "was_asked": False}
    ]


async def test_what_waits_for_an_upstream_that_the_file_has_no_more_ends_there(
    settings: Settings, storage: Storage, alice: User, slow: Slow, other: Provider
) -> None:
    registry = registry_of(slow, other, parallel=1)
    async with open_with(settings, storage, registry) as engine:
        runs = [await engine.accept(alice, model) for model in (ANY, ANY, SLOW)]
        await until(lambda: slow.requests)
        registry.become(Registry([other]))
        await engine.follow_upstreams(["slow"])
        slow.go_on.set()
        ends = [await engine.result(run) for run in runs]

    assert {run.provider for run in ends} == {"slow"}


async def test_a_run_that_falls_back_to_a_full_upstream_waits_as_if_it_were_new(
    settings: Settings, storage: Storage, alice: User, slow: Slow, other: Provider
) -> None:
    assert isinstance(other, ScriptedProvider)
    other.refusal = ProviderUnauthenticated("No.")
    other.refusal.nothing_paid = True
    registry = registry_of(slow, other, parallel=1)
    new = replace(SLOW, model="back")
    async with open_with(settings, storage, registry) as engine:
        first = await engine.accept(alice, SLOW)
        await until(lambda: slow.requests)
        run = await engine.accept(alice, new)

        async def waits() -> bool:
            stored = await storage.get_run(alice, run.id)
            return (stored.status, stored.provider) == (RunStatus.QUEUED, "slow")

        await until(waits)
        slow.go_on.set()
        ends = [await engine.result(each) for each in (first, run)]

    assert [each.provider for each in ends] == ["slow", "slow"]
