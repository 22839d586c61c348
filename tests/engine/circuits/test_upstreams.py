"""An upstream of which several models fail is left alone, whatever its kind is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from llamakeep.domain import NewRun, Run, RunStatus, User
from llamakeep.engine import Engine
from llamakeep.engine.circuits.rules import FAILURES
from llamakeep.errors import (
    LlamaKeepError,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.providers.facts import UpstreamFacts
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import Member
from llamakeep.storage import Storage
from tests.fakes import ScriptedProvider
from tests.waiting import until

MODELS = ("a", "b", "c")
ALIASES = {"any": [[Member("down", "c")], [Member("up", "m")]]}
FACTS = {"alone": UpstreamFacts(has_one_model=True)}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"breaker_pause": 60, "shutdown_grace": 0})


def broken(error: LlamaKeepError | None = None) -> ScriptedProvider:
    refusal = error or ProviderUnavailable("It is down.")
    return ScriptedProvider(name="down", models=MODELS, refusal=refusal)


@asynccontextmanager
async def open_with(
    settings: Settings, storage: Storage, *providers: ScriptedProvider
) -> AsyncIterator[Engine]:
    engine = Engine(
        settings, storage, Registry(providers, aliases=ALIASES, facts=FACTS)
    )
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()


async def ask(engine: Engine, user: User, *models: str) -> list[Run]:
    """Return how a prompt to each of these models ends, one after the other."""
    return [
        await engine.end_of(
            await engine.accept(user, NewRun(prompt="Why?", model=model))
        )
        for model in models
    ]


ALL_FAIL = (*["down:a"] * 3, *["down:b"] * FAILURES)


@pytest.mark.parametrize("kind", [ProviderUnavailable, ProviderTimeout])
async def test_a_third_model_is_not_asked_when_two_have_failed(
    settings: Settings, storage: Storage, alice: User, kind: type[ProviderError]
) -> None:
    down = broken(kind("It is down."))
    async with open_with(settings, storage, down) as engine:
        await ask(engine, alice, *ALL_FAIL)
        asked = len(down.requests)

        with pytest.raises(kind, match=r"It is down\. .* kept") as refused:
            await engine.answer(alice, NewRun(prompt="Why?", model="down:c"))
        states = engine.circuits.states()

    assert len(down.requests) == asked
    assert refused.value.retry_after == pytest.approx(60, abs=15)
    assert [each.seconds_left > 0 for each in states if each.model is None] == [True]


async def test_one_model_that_fails_leaves_the_others_of_its_upstream_alone(
    settings: Settings, storage: Storage, alice: User
) -> None:
    down = broken()
    async with open_with(settings, storage, down) as engine:
        await ask(engine, alice, *["down:a"] * (FAILURES + 1))
        down.refusal = None
        [answered] = await ask(engine, alice, "down:b")

    assert answered.status is RunStatus.SUCCEEDED
    assert await storage.circuits() == []


async def test_the_only_model_of_an_upstream_opens_its_circuit_in_all_processes(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alone = ScriptedProvider(name="alone", refusal=ProviderUnavailable("Down."))
    async with open_with(settings, storage, alone) as engine:
        await ask(engine, alice, *["alone:parrot"] * FAILURES)

    alone.refusal = None
    async with open_with(settings, storage, alone) as engine:
        [run] = await ask(engine, alice, "alone:parrot")

    assert (run.status, run.error_code) == (RunStatus.FAILED, "provider-unavailable")
    assert len(alone.requests) == FAILURES


async def test_an_answer_to_the_first_prompt_after_the_pause_lets_all_pass(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"breaker_pause": 0.05})
    down = broken()
    async with open_with(settings, storage, down) as engine:
        await ask(engine, alice, *ALL_FAIL)
        down.refusal, down.before_accepting = None, asyncio.Event()
        asked = len(down.requests)
        first = await until_probed(engine, down, alice)

        [other] = await ask(engine, alice, "down:c")
        assert (other.status, len(down.requests)) == (RunStatus.FAILED, asked + 1)
        down.before_accepting.set()
        ends = [await engine.end_of(first), *await ask(engine, alice, "down:c")]

    assert {run.status for run in ends} == {RunStatus.SUCCEEDED}
    [circuit] = await storage.circuits()
    assert (circuit.open_until, circuit.failures) == (None, 0)


async def until_probed(engine: Engine, down: ScriptedProvider, user: User) -> Run:
    """Return the run that is sent when the pause is over."""
    asked = len(down.requests)
    sent: list[Run] = []

    async def is_sent() -> bool:
        run = await engine.accept(user, NewRun(prompt="Why?", model="down:c"))
        await until(lambda: run.id not in engine.live or len(down.requests) > asked)
        sent.append(run)
        return len(down.requests) > asked

    await until(is_sent)
    return sent[-1]


@pytest.mark.parametrize("way", ["limited", "not there"])
async def test_rate_limits_and_connections_that_are_refused_open_no_upstream(
    settings: Settings, storage: Storage, alice: User, way: str
) -> None:
    error: ProviderError = ProviderUnavailable("It is not there.")
    error.was_connected = False
    if way == "limited":
        error = ProviderRateLimited("Slow down.")
    down = broken(error)
    async with open_with(settings, storage, down) as engine:
        await ask(engine, alice, *ALL_FAIL)
        asked = len(down.requests)
        await ask(engine, alice, "down:c")

    assert len(down.requests) == asked + 1
    assert await storage.circuits() == []


async def test_an_alias_passes_by_an_upstream_whose_circuit_is_open(
    settings: Settings, storage: Storage, alice: User
) -> None:
    down, up = broken(), ScriptedProvider(name="up", models=["m"])
    async with open_with(settings, storage, down, up) as engine:
        await ask(engine, alice, *ALL_FAIL)
        [run] = await ask(engine, alice, "any")

    assert run.provider == "up"
    assert run.parameters.route is not None
    assert [each["reason"] for each in run.parameters.route["passed"]] == [
        "circuit-open"
    ]


async def test_an_upstream_that_is_another_one_now_is_asked_again(
    settings: Settings, storage: Storage, alice: User
) -> None:
    down = broken()
    async with open_with(settings, storage, down) as engine:
        await ask(engine, alice, *ALL_FAIL)
        down.refusal = None

        await engine.follow_upstreams(["down"])
        [run] = await ask(engine, alice, "down:c")

    assert run.status is RunStatus.SUCCEEDED
