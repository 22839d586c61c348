"""A clock that is wrong deletes nothing for good."""

import logging
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, Table, func, insert, select, text

from llamakeep.deletion.retention import MANY, sweep
from llamakeep.domain import Actor, ApiKey, User, new_id, utc_now
from llamakeep.storage import Storage
from llamakeep.storage.accounts.tables import access_tokens, api_keys, audit_events
from llamakeep.storage.database import schema
from llamakeep.storage.database.tables import clock
from tests.storage.deletion.test_retention import ages, keep
from tests.storage.running import start

NOW = utc_now()
DAY = timedelta(days=1)


async def warnings_of_sweep(
    storage: Storage,
    days: int | None,
    now: datetime,
    caplog: pytest.LogCaptureFixture,
) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        await sweep(storage, days, now=now)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("days", "ahead"),
    [(90, 400), (90, 91), (90, 20), (90, 4), (1, 2), (36_500, 40_000)],
)
async def test_a_clock_that_jumped_ahead_deletes_nothing(
    storage: Storage,
    alice: User,
    days: int,
    ahead: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for age in (1, 2):
        await keep(storage, alice, age, prompt=str(age))
    await sweep(storage, None, now=NOW)

    [warning] = await warnings_of_sweep(storage, days, NOW + ahead * DAY, caplog)

    assert await ages(storage, alice) == "12"
    assert f"{ahead} days before" in warning
    assert "llamakeep apply-retention" in warning


async def test_a_clock_that_was_wrong_at_the_first_look_deletes_nothing(
    storage: Storage, alice: User
) -> None:
    await keep(storage, alice, 1)

    assert await sweep(storage, 90, now=NOW + 400 * DAY) == 0


async def test_what_is_asked_under_a_wrong_clock_does_not_make_it_right(
    storage: Storage, alice: User
) -> None:
    ahead = NOW + 400 * DAY
    await keep(storage, alice, 1)
    await sweep(storage, 90, now=NOW)
    await sweep(storage, 90, now=ahead)
    await storage.add(alice, "NewRun ahead", "", created_at=ahead)

    assert await sweep(storage, 90, now=ahead + DAY / 24) == 0
    assert await sweep(storage, 90, now=NOW + DAY / 24) == 0
    assert len(await storage.history(alice)) == 2


async def test_retention_for_one_user_has_the_same_brake(
    storage: Storage, alice: User, bob: User
) -> None:
    await keep(storage, alice, 1)
    await keep(storage, bob, 1)
    await storage.set_retention(alice.id, 30, actor=Actor())
    await storage.set_own_retention(bob, 7, longest=None, actor=Actor())
    await sweep(storage, None, now=NOW)

    assert await sweep(storage, None, now=NOW + 400 * DAY) == 0


async def test_a_clock_that_is_right_again_goes_on_deleting(
    storage: Storage, alice: User
) -> None:
    for age in (1, 5):
        await keep(storage, alice, age)
    await sweep(storage, 90, now=NOW)
    await sweep(storage, 4, now=NOW + 400 * DAY)

    assert await sweep(storage, 4, now=NOW + DAY / 24) == 1
    assert await ages(storage, alice) == "1"


async def test_a_clock_that_begins_at_1970_with_each_boot_is_no_reason_to_ask(
    storage: Storage, alice: User
) -> None:
    await keep(storage, alice, 5)
    await keep(storage, alice, 0)
    await sweep(storage, 90, now=NOW)
    await sweep(storage, 4, now=NOW - 20_000 * DAY)

    assert await sweep(storage, 4, now=NOW + DAY / 24) == 1


async def test_a_confirmed_sweep_deletes_and_the_next_ones_go_on(
    storage: Storage, alice: User
) -> None:
    for age in (1, 5):
        await keep(storage, alice, age)
    await sweep(storage, 90, now=NOW)
    later = NOW + 10 * DAY
    assert await sweep(storage, 12, now=later) == 0

    assert await sweep(storage, 12, now=later, is_confirmed=True) == 1
    assert await sweep(storage, 12, now=later + 2 * DAY) == 1


async def test_a_server_that_was_off_for_a_weekend_deletes_as_usual(
    storage: Storage, alice: User
) -> None:
    await keep(storage, alice, 5)
    await sweep(storage, 90, now=NOW)

    assert await sweep(storage, 7, now=NOW + 2.5 * DAY) == 1


async def test_more_than_half_of_all_runs_is_too_much_for_one_sweep(
    storage: Storage, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(MANY):
        await storage.add(alice, "Old", "", created_at=NOW - 5 * DAY)
    await keep(storage, alice, 0)

    [warning] = await warnings_of_sweep(storage, 3, NOW, caplog)

    assert f"{MANY} runs would be" in warning
    assert await sweep(storage, 3, now=NOW, is_confirmed=True) == MANY


@pytest.mark.slow
async def test_what_users_want_deleted_themselves_is_never_too_much(
    storage: Storage, alice: User
) -> None:
    for _ in range(MANY):
        await storage.add(alice, "Old", "", created_at=NOW - 5 * DAY)
    await storage.set_own_retention(alice, 3, longest=None, actor=Actor())

    assert await sweep(storage, 90, now=NOW) == MANY


async def test_a_database_from_before_knows_when_its_newest_run_was_made(
    storage: Storage, alice: User
) -> None:
    runs = [await start(storage, alice) for _ in range(2)]

    def migrate_again(connection: Connection) -> datetime | None:
        connection.execute(text("DROP TABLE clock"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0010'"))
        schema.migrate(connection, "0011")
        # Later steps were taken already; other tests use this database, too.
        connection.execute(
            text("UPDATE alembic_version SET version_num = :head"),
            {"head": schema.HEAD},
        )
        seen_at: datetime | None = connection.scalar(select(clock.c.seen_at))
        return seen_at

    assert await storage._database.write(migrate_again) == runs[-1].created_at


async def test_a_wrong_clock_forgets_no_audit_events_logins_and_keys(
    storage: Storage, alice: User
) -> None:
    async def make_all() -> list[int]:
        key = ApiKey(
            id=new_id("key_"),
            name="over",
            hint="",
            scopes=frozenset(),
            models=None,
            created_at=NOW,
            expires_at=NOW,
            last_used_at=None,
        )
        digest = key.id.encode()[-26:]
        await storage.add_api_key(alice, key, digest)
        await storage.add_access_token(alice, digest, lifetime=timedelta(0))
        return [await _count(storage, table) for table in (access_tokens, api_keys)]

    await storage.believe_clock(NOW - 400 * DAY)
    event = {"id": new_id("event_", at=NOW - 400 * DAY), "at": NOW, "kind": "logout"}
    await storage._database.write(
        lambda c: c.execute(insert(audit_events), event).close()
    )
    ahead = [await make_all() for _ in range(2)][-1]
    await storage.add_user("carol", None, actor=Actor())
    events_ahead = await _count(storage, audit_events)
    await storage.believe_clock(NOW)
    right = [await make_all() for _ in range(2)][-1]
    await storage.add_user("dave", None, actor=Actor())

    assert (ahead, events_ahead) == ([2, 2], 2)
    # What is made is over at once, and forgotten by the next.
    assert (right, await _count(storage, audit_events)) == ([1, 1], 2)


async def _count(storage: Storage, table: Table) -> int:
    query = select(func.count()).select_from(table)
    return await storage._database.read(lambda c: c.scalar(query) or 0)
