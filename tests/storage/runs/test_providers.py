"""What providers are doing, as storage sums it up."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from llamakeep.domain import RunStatus, Usage, User, first_id, utc_now
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.stats import Grouping
from llamakeep.storage.runs.providers import Ends, LastFailure, Load
from tests.storage.running import ended, start


async def test_what_providers_do_is_counted_and_their_newest_failure_found(
    storage: Storage, alice: User, bob: User
) -> None:
    await start(storage, alice)
    await start(storage, bob)
    await start(storage, bob, status=RunStatus.QUEUED, provider="other", attempt=0)
    for user, code in ((alice, "provider-error"), (bob, "provider-timeout")):
        run = ended(await start(storage, user), RunStatus.FAILED, error_code=code)
        await storage.finish(run)
    await storage.finish(ended(await start(storage, alice), RunStatus.CANCELED))
    await storage.finish(ended(await start(storage, alice, provider="quiet")))
    hour = timedelta(hours=1)

    loads = await storage.provider_loads(since=utc_now() - hour)
    later = await storage.provider_loads(since=utc_now() + hour)

    failure = LastFailure(run.finished_at, "provider-timeout")
    assert loads == {"scripted": Load(2, 0, failure), "other": Load(0, 1)}
    assert later["scripted"] == Load(2, 0)


async def test_ends_and_costs_are_summed_up_by_provider_and_imported_ones_are_not(
    storage: Storage, alice: User
) -> None:
    paid = Usage(input_tokens=7, output_tokens=3, cost=Decimal("0.25"))
    for provider, status in (
        ("scripted", RunStatus.SUCCEEDED),
        ("scripted", RunStatus.SUCCEEDED),
        ("other", RunStatus.FAILED),
        ("other", RunStatus.CANCELED),
    ):
        run = ended(await start(storage, alice, provider=provider), status)
        await storage.finish(replace(run, usage=paid))
    await storage.finish(ended(await start(storage, alice, provider="free")))
    await storage.add(alice, "Elsewhere", "Answered", created_at=utc_now())
    hour = timedelta(hours=1)

    ends = await storage.provider_ends(since=utc_now() - hour)
    an_hour_ago = first_id("run_", utc_now() - hour)
    costs = await storage.provider_costs(since=an_hour_ago)
    none = await storage.provider_costs(since="run_", until=an_hour_ago)
    nothing_goes_on = await storage.oldest_unfinished()
    going_on = [await start(storage, alice) for _ in range(2)]

    assert ends == {"scripted": Ends(2, 0), "other": Ends(0, 1), "free": Ends(1, 0)}
    assert costs == {"scripted": Decimal("0.5"), "other": Decimal("0.5")}
    assert none == {}
    assert nothing_goes_on is None
    assert await storage.oldest_unfinished() == going_on[0].id


async def test_runs_of_all_users_are_summed_up(
    storage: Storage, alice: User, bob: User
) -> None:
    for user in (alice, bob, bob):
        await storage.finish(ended(await start(storage, user)))

    found, _ = await storage.stats(None, RunFilter(), by=[Grouping.USER])

    assert [(each.groups, each.runs) for each in found] == [
        ((bob.id,), 2),
        ((alice.id,), 1),
    ]
    names = await storage.usernames([bob.id, alice.id, bob.id, "user_1", ""])
    assert names == {alice.id: "alice", bob.id: "bob"}
    assert await storage.usernames([]) == {}
