"""Limits: what is set aside for a prompt, what it is charged, and who is refused."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from llamakeep.deletion.requested import delete_runs
from llamakeep.domain import (
    ApiKey,
    Limits,
    Parameters,
    Price,
    Run,
    RunStatus,
    User,
    new_id,
    utc_now,
)
from llamakeep.domain.quotas import Count
from llamakeep.engine import Engine
from llamakeep.errors import (
    PriceUnknown,
    ProviderUnavailable,
    QuotaExceeded,
    RunNotFound,
    TooManyRuns,
)
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import EVERYTHING
from tests.engine.engine import WHY, open_engine
from tests.fakes import ScriptedProvider
from tests.waiting import until

TEN_TOKENS = replace(WHY, parameters=Parameters(max_tokens=10))
MOST = len(WHY.prompt) + 16 + 10
"""What a prompt of ten tokens may take: its bytes, its template, its answer."""
TOOK = 7 + 3
"""What the scripted provider says that every answer took."""


@pytest.fixture(autouse=True)
def always_the_same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now()
    monkeypatch.setattr("llamakeep.engine.quotas.utc_now", lambda: now)


def limited(user: User, **limits: object) -> User:
    return replace(user, limits=Limits(**limits))  # type: ignore[arg-type] # any


async def counts(engine: Engine, storage: Storage, user: User) -> Mapping[str, Count]:
    quotas = engine.quotas.of(user)
    return dict(
        zip((q.name for q in quotas), await storage.counts(quotas), strict=True)
    )


async def test_a_prompt_without_limits_reserves_nothing(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await engine.result(await engine.accept(alice, WHY))

    assert run.reservation is None
    assert run.parameters.max_tokens is None


async def test_what_a_prompt_may_take_is_set_aside_and_what_it_took_is_charged(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, tokens_per_day=1000, tokens_per_month=2000)
    go_on = asyncio.Event()
    async with open_engine(settings, storage, ScriptedProvider([go_on])) as engine:
        run = await engine.accept(alice, TEN_TOKENS)
        before = await counts(engine, storage, alice)

        go_on.set()
        await engine.result(run)

        after = await counts(engine, storage, alice)
    assert {each.tokens_reserved for each in before.values()} == {MOST}
    assert set(after) == {"tokens_per_day", "tokens_per_month"}
    assert set(after.values()) == {Count(tokens_used=TOOK)}


async def test_two_hundred_prompts_at_once_get_what_the_budget_is_for_and_no_more(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, tokens_per_day=33 * MOST + MOST - 1)
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on])
    async with open_engine(settings, storage, provider) as engine:
        asked = await asyncio.gather(
            *(engine.accept(alice, TEN_TOKENS) for _ in range(200)),
            return_exceptions=True,
        )

        granted = [run for run in asked if isinstance(run, Run)]
        refused = [error for error in asked if isinstance(error, QuotaExceeded)]
        assert (len(granted), len(refused)) == (33, 167)
        go_on.set()
        for run in granted:
            await engine.result(run)
        assert await counts(engine, storage, alice) == {
            "tokens_per_day": Count(tokens_used=33 * TOOK)
        }
    assert len(await storage.history(alice, limit=100)) == 33


async def test_a_refusal_says_which_limit_how_much_is_left_and_until_when(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, tokens_per_day=MOST + 5)
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        await engine.result(await engine.accept(alice, TEN_TOKENS))

        with pytest.raises(QuotaExceeded) as refusal:
            await engine.accept(alice, TEN_TOKENS)

    facts = refusal.value.limit
    assert facts is not None
    assert (facts.name, facts.whose) == ("tokens_per_day", "user")
    assert (facts.limit, facts.left) == (MOST + 5, MOST + 5 - TOOK)
    assert facts.resets_at is not None
    assert facts.resets_at - utc_now() <= timedelta(days=1)
    assert facts.resets_at.timetz() == datetime(1, 1, 1, tzinfo=UTC).timetz()
    assert refusal.value.retry_after is not None
    assert 0 < refusal.value.retry_after <= 24 * 3600
    assert f"{facts.left} left" in refusal.value.detail
    assert "nothing was stored" in refusal.value.detail


async def test_an_answer_is_bounded_where_tokens_are_counted(
    settings: Settings, storage: Storage, alice: User
) -> None:
    settings = settings.model_copy(update={"quota_max_tokens": 55})
    unable = ScriptedProvider(name="unable", unsupported=frozenset({"max_tokens"}))
    provider = ScriptedProvider()
    async with open_engine(settings, storage, provider, unable) as engine:
        alice = limited(alice, tokens_per_day=10_000)
        run = await engine.accept(alice, WHY)
        other = await engine.accept(alice, replace(WHY, model="unable:parrot"))

    assert run.parameters.max_tokens == 55
    assert other.parameters.max_tokens is None
    assert {
        each.reservation.output_tokens for each in (run, other) if each.reservation
    } == {55}


async def test_at_the_same_time_only_so_many_are_answered(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, concurrent_runs=2)
    go_on = asyncio.Event()
    async with open_engine(settings, storage, ScriptedProvider([go_on])) as engine:
        runs = [await engine.accept(alice, WHY) for _ in range(2)]

        with pytest.raises(TooManyRuns) as refusal:
            await engine.accept(alice, WHY)

        assert refusal.value.limit is not None
        assert (refusal.value.limit.limit, refusal.value.limit.left) == (2, 0)
        await engine.cancel(alice, runs[0].id)
        third = await engine.accept(alice, WHY)
        go_on.set()
        assert (await engine.result(third)).status is RunStatus.SUCCEEDED
    assert runs[0].parameters.max_tokens is None


async def test_money_is_counted_by_the_model_s_price(
    settings: Settings, storage: Storage, alice: User
) -> None:
    provider = ScriptedProvider()
    provider.prices = {"parrot": Price(Decimal(2), Decimal(10))}
    alice = limited(alice, dollars_per_month=Decimal("0.0003"))
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.result(await engine.accept(alice, TEN_TOKENS))

        assert run.usage.cost == Decimal("0.000044")
        assert await counts(engine, storage, alice) == {
            "dollars_per_month": Count(tokens_used=TOOK, cost_used=run.usage.cost)
        }
        with pytest.raises(QuotaExceeded, match="dollars per month"):
            await engine.accept(
                alice, replace(WHY, parameters=Parameters(max_tokens=30))
            )


async def test_with_a_limit_in_dollars_nothing_is_asked_that_may_cost_anything(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, dollars_per_day=Decimal(1))
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        with pytest.raises(PriceUnknown, match="LLAMAKEEP_PRICES"):
            await engine.accept(alice, WHY)

    assert await storage.history(alice) == []


async def test_all_users_together_keep_to_the_server_s_limits(
    settings: Settings, storage: Storage, alice: User, bob: User
) -> None:
    limits = Limits(tokens_per_month=TOOK + MOST)
    settings = settings.model_copy(update={"server_limits": limits})
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        await engine.result(await engine.accept(alice, TEN_TOKENS))
        await engine.result(await engine.accept(bob, TEN_TOKENS))

        with pytest.raises(QuotaExceeded, match="This server's limit"):
            await engine.accept(alice, TEN_TOKENS)


async def test_a_key_keeps_to_its_own_limits_and_to_its_owner_s(
    settings: Settings, storage: Storage, alice: User
) -> None:
    key = ApiKey(
        id=new_id("key_"),
        name="program",
        hint="",
        scopes=frozenset(),
        models=None,
        created_at=utc_now(),
        expires_at=None,
        last_used_at=None,
        limits=Limits(tokens_per_day=MOST),
    )
    settings = settings.model_copy(
        update={"user_limits": Limits(tokens_per_day=TOOK + MOST)}
    )
    with_key = replace(alice, api_key=key)
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        await engine.result(await engine.accept(with_key, TEN_TOKENS))

        with pytest.raises(QuotaExceeded, match="This API key's limit"):
            await engine.accept(with_key, TEN_TOKENS)

        await engine.result(await engine.accept(alice, TEN_TOKENS))
        with pytest.raises(QuotaExceeded, match="Your limit"):
            await engine.accept(alice, TEN_TOKENS)


async def test_an_administrator_s_limits_go_before_the_settings_one_by_one(
    settings: Settings, storage: Storage, alice: User
) -> None:
    default = Limits(concurrent_runs=1, tokens_per_day=1)
    settings = settings.model_copy(update={"user_limits": default})
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        quotas = engine.quotas.of(limited(alice, tokens_per_day=500))

    assert {q.name: q.limit for q in quotas} == {
        "concurrent_runs": 1,
        "tokens_per_day": 500,
    }


@pytest.mark.parametrize(
    ("provider", "charged"),
    [
        (ScriptedProvider(refusal=ProviderUnavailable()), 0),
        (ScriptedProvider(["Hello, wor", ProviderUnavailable()]), 10),
    ],
)
async def test_a_run_that_fails_is_charged_for_about_what_was_said(
    settings: Settings,
    storage: Storage,
    alice: User,
    provider: ScriptedProvider,
    charged: int,
) -> None:
    alice = limited(alice, tokens_per_day=1000)
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, TEN_TOKENS)
        with pytest.raises(ProviderUnavailable):
            await engine.result(run)

        assert await counts(engine, storage, alice) == {
            "tokens_per_day": Count(tokens_used=charged)
        }


async def test_what_was_used_before_there_was_a_limit_counts(
    settings: Settings, storage: Storage, alice: User
) -> None:
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        for _ in range(2):
            await engine.result(await engine.accept(alice, WHY))
        alice = limited(alice, tokens_per_day=1000)
        assert await counts(engine, storage, alice) == {
            "tokens_per_day": Count(tokens_used=2 * TOOK)
        }

        await engine.result(await engine.accept(alice, TEN_TOKENS))

        assert await counts(engine, storage, alice) == {
            "tokens_per_day": Count(tokens_used=3 * TOOK)
        }


async def test_deleting_runs_gives_nothing_back(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, tokens_per_day=1000)
    async with open_engine(settings, storage, ScriptedProvider()) as engine:
        run = await engine.result(await engine.accept(alice, TEN_TOKENS))

        await engine.delete(alice, run.id)

        assert await counts(engine, storage, alice) == {
            "tokens_per_day": Count(tokens_used=TOOK)
        }


async def test_what_is_canceled_before_the_first_word_counts_what_was_sent(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, tokens_per_day=1000)
    provider = ScriptedProvider([asyncio.Event()])
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(alice, TEN_TOKENS)
        await until(lambda: provider.requests)

        await engine.cancel(alice, run.id)

        assert await counts(engine, storage, alice) == {
            "tokens_per_day": Count(tokens_used=-(-(4 + 16) // 3))
        }


async def test_what_is_asked_while_the_history_is_deleted_is_settled(
    settings: Settings, storage: Storage, alice: User
) -> None:
    alice = limited(alice, concurrent_runs=1000)
    provider = ScriptedProvider()
    async with open_engine(settings, storage, provider) as engine:
        asked = await asyncio.gather(
            *(
                engine.accept(alice, WHY)
                if number % 3
                else delete_runs(engine, storage, alice, EVERYTHING)
                for number in range(90)
            )
        )
        for run in asked:
            if isinstance(run, Run):
                with suppress(RunNotFound):
                    await engine.result(run)

        assert await counts(engine, storage, alice) == {
            "concurrent_runs": Count(tokens_used=60 * TOOK)
        }
