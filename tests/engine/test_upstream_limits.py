"""Limits of upstreams and aliases: what all users together may use of one."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest

from llamakeep.domain import Limits, NewRun, Parameters, Price, Run, User, utc_now
from llamakeep.domain.quotas import Count
from llamakeep.engine import Engine
from llamakeep.errors import (
    PriceUnknown,
    ProviderUnauthenticated,
    QuotaExceeded,
    TooManyRuns,
)
from llamakeep.providers.facts import UpstreamFacts
from llamakeep.providers.registry import Registry
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import Member
from llamakeep.storage import Storage
from tests.engine.engine import open_with
from tests.fakes import ScriptedProvider
from tests.waiting import until

ALIASES = {"any": [[Member("paid", "m")], [Member("other", "m")]]}
PAID = NewRun(prompt="Why?", model="paid:m", parameters=Parameters(max_tokens=10))
ANY = replace(PAID, model="any")
PRICE = Price(Decimal(1000), Decimal(1000))
MOST = Decimal(len("Why?") + 16 + 10) / 1000
"""Dollars that such a prompt may cost."""
TOOK = Decimal(7 + 3) / 1000
"""Dollars that each one costs."""


@pytest.fixture(autouse=True)
def always_the_same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now()
    monkeypatch.setattr("llamakeep.engine.quotas.utc_now", lambda: now)


@pytest.fixture
def paid() -> ScriptedProvider:
    provider = ScriptedProvider(name="paid", models=["m"])
    provider.prices["m"] = PRICE
    return provider


@pytest.fixture
def other() -> ScriptedProvider:
    return ScriptedProvider(name="other", models=["m"])


def open_limited(
    settings: Settings,
    storage: Storage,
    limits: Mapping[str, Limits],
    *providers: ScriptedProvider,
    facts: Mapping[str, UpstreamFacts] = MappingProxyType({}),
) -> AbstractAsyncContextManager[Engine]:
    settings = settings.model_copy(update={"shutdown_grace": 0})
    registry = Registry(providers, limits=limits, aliases=ALIASES, facts=facts)
    return open_with(settings, storage, registry)


def dollars(amount: Decimal) -> Limits:
    return Limits(dollars_per_day=amount)


async def counts(engine: Engine, storage: Storage) -> Mapping[str | None, Count]:
    quotas = [*engine.quotas.of_all_upstreams(utc_now())]
    found = await storage.counts(quotas)
    return dict(zip((quota.subject for quota in quotas), found, strict=True))


async def test_an_upstreams_cap_refuses_and_says_when_it_begins_anew(
    settings: Settings, storage: Storage, alice: User, paid: ScriptedProvider
) -> None:
    limits = {"paid": dollars(MOST)}
    async with open_limited(settings, storage, limits, paid) as engine:
        await engine.answer(alice, PAID)
        with pytest.raises(QuotaExceeded, match=r"upstream 'paid' .* UTC") as refused:
            await engine.answer(alice, PAID)
        used = await counts(engine, storage)

    limit = refused.value.limit
    assert limit is not None
    assert (limit.whose, limit.subject, limit.left) == ("upstream", "paid", MOST - TOOK)
    assert limit.resets_at is not None
    assert refused.value.retry_after is not None
    assert len(await storage.history(alice)) == len(paid.requests) == 1
    assert used == {"paid": Count(tokens_used=10, cost_used=TOOK)}


async def test_a_cap_of_an_upstream_is_not_overrun_by_prompts_at_the_same_time(
    settings: Settings, storage: Storage, alice: User, bob: User, paid: ScriptedProvider
) -> None:
    paid.before_accepting = asyncio.Event()
    limits = {"paid": dollars(5 * MOST)}
    async with open_limited(settings, storage, limits, paid) as engine:
        asked = await asyncio.gather(
            *(engine.accept(user, PAID) for user in (alice, bob) for _ in range(10)),
            return_exceptions=True,
        )
        granted = [run for run in asked if isinstance(run, Run)]
        paid.before_accepting.set()
        for run in granted:
            await engine.result(run)
        used = await counts(engine, storage)

    assert len(granted) == 5
    assert used == {"paid": Count(tokens_used=50, cost_used=5 * TOOK)}


async def test_an_alias_falls_back_when_the_cap_of_its_upstream_is_reached(
    settings: Settings,
    storage: Storage,
    alice: User,
    paid: ScriptedProvider,
    other: ScriptedProvider,
) -> None:
    limits = {"paid": dollars(MOST)}
    async with open_limited(settings, storage, limits, paid, other) as engine:
        runs = [await engine.answer(alice, ANY) for _ in range(3)]
        used = await counts(engine, storage)
        assert not engine.running

    assert [run.provider for run in runs] == ["paid", "other", "other"]
    route = runs[1].parameters.route
    assert route is not None
    assert route["passed"] == [
        {"model": "paid:m", "reason": "quota-exceeded", "was_asked": False}
    ]
    assert used == {"paid": Count(tokens_used=10, cost_used=TOOK)}


async def test_a_fallback_whose_cap_is_reached_is_passed_by_as_well(
    settings: Settings,
    storage: Storage,
    alice: User,
    paid: ScriptedProvider,
    other: ScriptedProvider,
) -> None:
    limits = {"other": Limits(tokens_per_day=1)}
    async with open_limited(settings, storage, limits, paid, other) as engine:
        run = await engine.answer(alice, ANY)

    assert run.provider == "paid"
    assert run.parameters.route is not None
    assert run.parameters.route["left"] == []


async def test_an_upstream_that_did_not_answer_is_not_charged(
    settings: Settings,
    storage: Storage,
    alice: User,
    paid: ScriptedProvider,
    other: ScriptedProvider,
) -> None:
    paid.refusal = ProviderUnauthenticated("No.")
    paid.refusal.nothing_paid = True
    other.prices["m"] = PRICE
    limits = {"paid": dollars(Decimal(1)), "other": dollars(Decimal(1))}
    async with open_limited(settings, storage, limits, paid, other) as engine:
        run = await engine.answer(alice, ANY)
        used = await counts(engine, storage)

    assert run.provider == "other"
    assert used == {
        "paid": Count(),
        "other": Count(tokens_used=10, cost_used=TOOK),
    }


async def test_a_limit_of_an_alias_is_one_for_all_of_its_models(
    settings: Settings,
    storage: Storage,
    alice: User,
    paid: ScriptedProvider,
    other: ScriptedProvider,
) -> None:
    paid.before_accepting = asyncio.Event()
    limits = {"any": Limits(concurrent_runs=1)}
    async with open_limited(settings, storage, limits, paid, other) as engine:
        await engine.accept(alice, ANY)
        await until(lambda: paid.requests)
        with pytest.raises(TooManyRuns, match="alias 'any'"):
            await engine.accept(alice, ANY)
        elsewhere = await engine.answer(alice, replace(ANY, model="other:m"))

    assert elsewhere.provider == "other"


async def test_a_cap_in_dollars_needs_the_price_of_its_upstreams_models_alone(
    settings: Settings,
    storage: Storage,
    alice: User,
    paid: ScriptedProvider,
    other: ScriptedProvider,
) -> None:
    limits = {"paid": dollars(Decimal(1))}
    async with open_limited(settings, storage, limits, paid, other) as engine:
        answered = await engine.answer(alice, ANY)
        paid.prices.clear()
        with pytest.raises(PriceUnknown, match="paid:m"):
            await engine.answer(alice, ANY)

    assert answered.reservation is not None
    assert answered.reservation.cost == MOST


async def test_a_prompt_that_falls_back_before_it_is_kept_waits_for_its_upstream(
    settings: Settings,
    storage: Storage,
    alice: User,
    paid: ScriptedProvider,
    other: ScriptedProvider,
) -> None:
    other.before_accepting = asyncio.Event()
    limits = {"paid": Limits(tokens_per_day=1)}
    facts = {"other": UpstreamFacts(parallel=1)}
    async with open_limited(
        settings, storage, limits, paid, other, facts=facts
    ) as engine:
        runs = [await engine.accept(alice, ANY) for _ in range(2)]
        await until(lambda: other.requests)
        statuses = [(await storage.get_run(alice, run.id)).status for run in runs]
        other.before_accepting.set()
        ends = [await engine.result(run) for run in runs]

    assert statuses == ["starting", "queued"]
    assert {run.provider for run in ends} == {"other"}
