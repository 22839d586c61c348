"""Limits of upstreams and aliases: what all users together may use of one."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
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


@dataclass
class Here:
    """Two upstreams with an alias, who asks, and what is kept."""

    settings: Settings
    storage: Storage
    alice: User
    bob: User
    paid: ScriptedProvider
    other: ScriptedProvider

    def open(
        self,
        limits: Mapping[str, Limits],
        facts: Mapping[str, UpstreamFacts] = MappingProxyType({}),
    ) -> AbstractAsyncContextManager[Engine]:
        """Open an engine with limits of upstreams and of the alias."""
        registry = Registry(
            [self.paid, self.other], limits=limits, aliases=ALIASES, facts=facts
        )
        return open_with(self.settings, self.storage, registry)

    async def counts(self, engine: Engine) -> Mapping[str | None, Count]:
        """Return how much is used and reserved, by upstream or alias."""
        quotas = [*engine.quotas.of_all_upstreams(utc_now())]
        found = await self.storage.counts(quotas)
        return dict(zip((quota.subject for quota in quotas), found, strict=True))


@pytest.fixture
def here(settings: Settings, storage: Storage, alice: User, bob: User) -> Here:
    settings = settings.model_copy(update={"shutdown_grace": 0})
    paid, other = (
        ScriptedProvider(name=each, models=["m"]) for each in ("paid", "other")
    )
    paid.prices["m"] = PRICE
    return Here(settings, storage, alice, bob, paid, other)


def dollars(amount: Decimal) -> Limits:
    return Limits(dollars_per_day=amount)


async def test_an_upstreams_cap_refuses_and_says_when_it_begins_anew(
    here: Here,
) -> None:
    limits = {"paid": dollars(MOST)}
    async with here.open(limits) as engine:
        await engine.answer(here.alice, PAID)
        with pytest.raises(QuotaExceeded, match=r"upstream 'paid' .* UTC") as refused:
            await engine.answer(here.alice, PAID)
        used = await here.counts(engine)

    limit = refused.value.limit
    assert limit is not None
    assert (limit.whose, limit.subject, limit.left) == ("upstream", "paid", MOST - TOOK)
    assert limit.resets_at is not None
    assert refused.value.retry_after is not None
    assert len(await here.storage.history(here.alice)) == len(here.paid.requests) == 1
    assert used == {"paid": Count(tokens_used=10, cost_used=TOOK)}


async def test_a_cap_of_an_upstream_is_not_overrun_by_prompts_at_the_same_time(
    here: Here,
) -> None:
    here.paid.before_accepting = asyncio.Event()
    limits = {"paid": dollars(5 * MOST)}
    async with here.open(limits) as engine:
        asked = await asyncio.gather(
            *(
                engine.accept(user, PAID)
                for user in (here.alice, here.bob)
                for _ in range(10)
            ),
            return_exceptions=True,
        )
        granted = [run for run in asked if isinstance(run, Run)]
        here.paid.before_accepting.set()
        for run in granted:
            await engine.result(run)
        used = await here.counts(engine)

    assert len(granted) == 5
    assert used == {"paid": Count(tokens_used=50, cost_used=5 * TOOK)}


async def test_an_alias_falls_back_when_the_cap_of_its_upstream_is_reached(
    here: Here,
) -> None:
    limits = {"paid": dollars(MOST)}
    async with here.open(limits) as engine:
        runs = [await engine.answer(here.alice, ANY) for _ in range(3)]
        used = await here.counts(engine)
        assert not engine.running

    assert [run.provider for run in runs] == ["paid", "other", "other"]
    route = runs[1].parameters.route
    assert route is not None
    assert route["passed"] == [
        {"model": "paid:m", "reason": "quota-exceeded", "was_asked": False}
    ]
    assert used == {"paid": Count(tokens_used=10, cost_used=TOOK)}


async def test_a_fallback_whose_cap_is_reached_is_passed_by_as_well(here: Here) -> None:
    limits = {"other": Limits(tokens_per_day=1)}
    async with here.open(limits) as engine:
        run = await engine.answer(here.alice, ANY)

    assert run.provider == "paid"
    assert run.parameters.route is not None
    assert run.parameters.route["left"] == []


async def test_an_upstream_that_did_not_answer_is_not_charged(here: Here) -> None:
    here.paid.refusal = ProviderUnauthenticated("No.")
    here.paid.refusal.nothing_paid = True
    here.other.prices["m"] = PRICE
    limits = {"paid": dollars(Decimal(1)), "other": dollars(Decimal(1))}
    async with here.open(limits) as engine:
        run = await engine.answer(here.alice, ANY)
        used = await here.counts(engine)

    assert run.provider == "other"
    assert used == {
        "paid": Count(),
        "other": Count(tokens_used=10, cost_used=TOOK),
    }


async def test_a_limit_of_an_alias_is_one_for_all_of_its_models(here: Here) -> None:
    here.paid.before_accepting = asyncio.Event()
    limits = {"any": Limits(concurrent_runs=1)}
    async with here.open(limits) as engine:
        await engine.accept(here.alice, ANY)
        await until(lambda: here.paid.requests)
        with pytest.raises(TooManyRuns, match="alias 'any'"):
            await engine.accept(here.alice, ANY)
        elsewhere = await engine.answer(here.alice, replace(ANY, model="other:m"))

    assert elsewhere.provider == "other"


async def test_a_cap_in_dollars_needs_the_price_of_its_upstreams_models_alone(
    here: Here,
) -> None:
    limits = {"paid": dollars(Decimal(1))}
    async with here.open(limits) as engine:
        answered = await engine.answer(here.alice, ANY)
        here.paid.prices.clear()
        with pytest.raises(PriceUnknown, match="paid:m"):
            await engine.answer(here.alice, ANY)

    assert answered.reservation is not None
    assert answered.reservation.cost == MOST


async def test_a_prompt_that_falls_back_before_it_is_kept_waits_for_its_upstream(
    here: Here,
) -> None:
    here.other.before_accepting = asyncio.Event()
    limits = {"paid": Limits(tokens_per_day=1)}
    facts = {"other": UpstreamFacts(parallel=1)}
    async with here.open(limits, facts) as engine:
        runs = [await engine.accept(here.alice, ANY) for _ in range(2)]
        await until(lambda: here.other.requests)
        statuses = [
            (await here.storage.get_run(here.alice, run.id)).status for run in runs
        ]
        here.other.before_accepting.set()
        ends = [await engine.result(run) for run in runs]

    assert statuses == ["starting", "queued"]
    assert {run.provider for run in ends} == {"other"}
