"""Figures of the whole database, for metrics."""

from datetime import timedelta

from llamakeep.domain import RunStatus, User, utc_now
from llamakeep.storage import Storage
from tests.storage.running import LEASE, NODE, ended, start


async def test_an_empty_database_has_figures(storage: Storage) -> None:
    figures = await storage.figures()

    assert figures.unfinished == {}
    assert figures.oldest_unfinished is None
    assert figures.oldest_lease is None
    assert (figures.rows, figures.pending_webhooks) == (0, 0)
    assert figures.size > 0
    assert figures.free is None or figures.free > 0


async def test_unfinished_runs_and_their_leases_are_found(
    storage: Storage, alice: User, bob: User
) -> None:
    now = utc_now()
    await storage.join(NODE, lease=LEASE)
    await storage.release_leases([NODE])
    first = await start(storage, alice)
    await start(storage, bob)
    await start(storage, bob, status=RunStatus.QUEUED, attempt=0)
    await storage.finish(ended(await start(storage, alice)))

    figures = await storage.figures()

    assert figures.unfinished == {RunStatus.STARTING: 2, RunStatus.QUEUED: 1}
    assert figures.oldest_unfinished == first.created_at
    assert figures.oldest_lease is not None
    assert abs(figures.oldest_lease - now) < timedelta(minutes=5)
    if storage.is_sole_owner:  # PostgreSQL estimates rows now and then
        assert figures.rows == 4


async def test_commits_are_counted_with_what_is_in_them(
    storage: Storage, alice: User
) -> None:
    before = storage.commits

    await storage.finish(ended(await start(storage, alice)))

    assert storage.commits == before + 2
    [seconds, operations, *_] = storage.commit_series()
    assert sum(seconds.row(())[:-1]) == storage.commits
    assert operations.row(())[0] >= storage.commits
