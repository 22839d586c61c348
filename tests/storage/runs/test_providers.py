"""What providers are doing, as storage sums it up."""

from datetime import timedelta

from llamakeep.domain import RunStatus, User, utc_now
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.stats import Grouping
from llamakeep.storage.runs.providers import LastFailure, Load
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
