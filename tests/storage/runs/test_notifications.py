import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from llamakeep.domain import (
    Actor,
    AuditKind,
    Notification,
    NotificationEvent,
    NotificationStatus,
    Run,
    RunStatus,
    User,
    new_id,
)
from llamakeep.errors import Unauthenticated
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.accounts.webhook_secrets import WebhookSecrets
from llamakeep.storage.runs.notifications import LONGEST_PAUSE, Due
from llamakeep.webhooks import delivery as notifying
from tests.storage.running import delete_user, ended, start

SECRET = "whsec_c2VjcmV0"
WAITING, DELIVERED, GIVEN_UP = NotificationStatus


def notification(
    event: NotificationEvent = NotificationEvent.END, host: str = "a.example"
) -> Notification:
    return Notification(
        id=new_id("msg_"),
        event=event,
        url=f"https://{host}/hook",
        host=host,
        form="run",
    )


async def watched(
    storage: Storage, user: User, *wanted: Notification, is_over: bool = True
) -> Run:
    """Keep a run that somebody wants to hear of."""
    await storage.webhook_secrets(user, fresh=SECRET)
    run = await start(storage, user, notifications=wanted or (notification(),))
    if is_over:
        assert await storage.finish(ended(run))
    return run


async def claim(
    storage: Storage,
    *,
    most: int = 100,
    busy_hosts: Collection[str] = (),
    busy_users: Collection[str] = (),
    lease: float = 30,
) -> Sequence[Due]:
    return await storage.claim_notifications(
        most=most, busy_hosts=busy_hosts, busy_users=busy_users, lease=lease
    )


async def test_a_webhook_is_due_when_its_run_has_ended(
    storage: Storage, alice: User
) -> None:
    run = await watched(storage, alice, is_over=False)
    assert not await storage.is_any_notification_due()
    assert await claim(storage) == []

    await storage.finish(ended(run, RunStatus.FAILED, error_code="x"))

    assert await storage.is_any_notification_due()
    [due] = await claim(storage)
    assert (due.run.id, due.run.status) == (run.id, RunStatus.FAILED)
    assert due.notification.id == run.notifications[0].id
    assert due.notification.tries == 1
    assert due.secrets == WebhookSecrets(SECRET)


async def test_it_is_due_whatever_the_end_was(storage: Storage, alice: User) -> None:
    ends = (RunStatus.CANCELED, RunStatus.EXPIRED, RunStatus.INTERRUPTED)
    for end in ends:
        run = await watched(storage, alice, is_over=False)
        await storage.finish(ended(run, end))

    due = [each for _ in ends for each in await claim(storage)]

    assert [each.run.status for each in due] == [*ends]


async def test_the_start_of_a_run_is_due_at_once(storage: Storage, alice: User) -> None:
    first = notification(NotificationEvent.START)
    await watched(storage, alice, first, notification(), is_over=False)

    [due] = await claim(storage)

    assert due.notification.id == first.id


async def test_what_was_claimed_is_nobody_elses_until_the_lease_ends(
    storage: Storage, alice: User
) -> None:
    await watched(storage, alice)

    [first] = await claim(storage, lease=0.2)
    assert await claim(storage) == []
    await asyncio.sleep(0.3)
    [second] = await claim(storage)

    assert second.notification.id == first.notification.id
    assert second.notification.tries == 2
    assert not await storage.settle_notification(first.notification, DELIVERED)
    assert await storage.settle_notification(second.notification, DELIVERED)


async def test_what_was_delivered_is_not_sent_again(
    storage: Storage, alice: User
) -> None:
    run = await watched(storage, alice)
    [due] = await claim(storage, lease=0)

    await storage.settle_notification(due.notification, DELIVERED)

    assert await claim(storage) == []
    kept = await storage.find_notification(run)
    assert kept == replace(due.notification, status=DELIVERED, next_try_at=None)


async def test_what_failed_is_tried_again_after_its_pause(
    storage: Storage, alice: User
) -> None:
    run = await watched(storage, alice)
    [due] = await claim(storage, lease=0)

    await storage.settle_notification(
        due.notification, WAITING, error="x" * 1000, pause=0.2
    )

    assert await claim(storage) == []
    await asyncio.sleep(0.3)
    [again] = await claim(storage)
    assert again.notification.tries == 2
    kept = await storage.find_notification(run)
    assert kept is not None
    assert (kept.status, kept.last_error) == (WAITING, 256 * "x")


async def test_a_try_that_a_clock_put_off_which_was_ahead_is_due(
    storage: Storage, alice: User
) -> None:
    await watched(storage, alice)
    [due] = await claim(storage)
    put_off = LONGEST_PAUSE + 3600
    assert await storage.settle_notification(due.notification, WAITING, pause=put_off)

    assert await storage.is_any_notification_due()
    [again] = await claim(storage)

    assert again.notification.id == due.notification.id
    assert await claim(storage) == []
    assert not await storage.is_any_notification_due()


async def test_no_pause_between_two_tries_is_as_long_as_what_a_clock_may_do() -> None:
    assert max(notifying.PAUSES) * 1.1 < LONGEST_PAUSE


async def test_what_was_given_up_is_over(storage: Storage, alice: User) -> None:
    run = await watched(storage, alice)
    [due] = await claim(storage, lease=0)

    await storage.settle_notification(due.notification, GIVEN_UP, error="Gone.")

    assert await claim(storage) == []
    kept = await storage.find_notification(run)
    assert kept is not None
    assert (kept.status, kept.next_try_at) == (GIVEN_UP, None)


async def test_every_host_and_every_user_has_a_turn(
    storage: Storage, alice: User, bob: User
) -> None:
    for user, host in (
        (alice, "crowded"),
        (alice, "crowded"),
        (alice, "busy"),
        (alice, "quiet"),
        (bob, "crowded"),
        (bob, "other"),
    ):
        await watched(storage, user, notification(host=host))

    turns = [await claim(storage, busy_hosts=["busy"]) for _ in range(5)]

    hosts = [[each.notification.host for each in turn] for turn in turns]
    assert hosts == [["crowded"], ["crowded"], ["quiet", "crowded"], ["other"], []]


async def test_a_user_who_is_busy_holds_nobody_else_up(
    storage: Storage, alice: User, bob: User
) -> None:
    for user in (alice, alice, bob):
        await watched(storage, user, notification(host=new_id("host")))

    [due] = await claim(storage, busy_users=[alice.id])

    assert due.run.user_id == bob.id


async def test_no_more_is_claimed_than_there_is_room_for(
    storage: Storage, alice: User, bob: User
) -> None:
    for user in (alice, bob):
        await watched(storage, user, notification(host=user.id))

    assert len(await claim(storage, most=1)) == 1


async def test_the_end_is_what_is_told_about_a_run(
    storage: Storage, alice: User
) -> None:
    begin, end = notification(NotificationEvent.START), notification()
    both = await watched(storage, alice, begin, end)
    only_start = await watched(storage, alice, notification(NotificationEvent.START))
    none = await start(storage, alice)

    told = [await storage.find_notification(run) for run in (both, only_start, none)]

    assert [each and each.event for each in told] == [
        NotificationEvent.END,
        NotificationEvent.START,
        None,
    ]


async def test_deleting_a_run_deletes_its_webhooks(
    storage: Storage, alice: User
) -> None:
    run = await watched(storage, alice)
    [due] = await claim(storage, lease=0)

    await storage.delete_run(alice, run.id)

    assert not await storage.is_any_notification_due()
    assert await storage.find_notification(run) is None
    assert not await storage.settle_notification(due.notification, DELIVERED)


async def test_deleting_a_user_deletes_their_webhooks_and_their_secret(
    storage: Storage, alice: User
) -> None:
    run = await watched(storage, alice)

    await delete_user(storage, alice, patience=0)

    assert await storage.find_notification(run) is None
    with pytest.raises(Unauthenticated):
        await storage.webhook_secrets(alice, fresh=SECRET)


async def test_two_servers_never_claim_the_same(
    postgres_url: str,
) -> None:
    async with (
        open_storage(postgres_url, migrate=True) as one,
        open_storage(postgres_url) as other,
    ):
        alice = await one.add_user("alice", None)
        for i in range(40):
            await watched(one, alice, notification(host=f"host-{i % 7}"))

        async def work(storage: Storage) -> list[str]:
            mine: list[str] = []
            while claimed := await claim(storage, most=3):
                mine += [each.notification.id for each in claimed]
            return mine

        found = await asyncio.gather(work(one), work(other), work(one), work(other))

    ids = [each for some in found for each in some]
    assert len(ids) == len(set(ids)) == 40


async def test_a_secret_is_made_once(storage: Storage, alice: User, bob: User) -> None:
    made = await asyncio.gather(
        *(storage.webhook_secrets(alice, fresh=f"whsec_{i}") for i in range(5))
    )

    assert len(set(made)) == 1
    assert (await storage.webhook_secrets(bob, fresh="whsec_b")).secret == "whsec_b"


async def test_the_secret_before_signs_for_a_while(
    storage: Storage, alice: User
) -> None:
    await storage.webhook_secrets(alice, fresh="whsec_1")

    async def rotate(fresh: str, **overlap: Any) -> WebhookSecrets:
        return await storage.rotate_webhook_secret(
            alice, fresh=fresh, overlap=timedelta(**overlap), actor=Actor(user=alice)
        )

    both = await rotate("whsec_2", hours=1)
    expired = await rotate("whsec_3", seconds=-1)

    assert both.now() == ["whsec_2", "whsec_1"]
    assert expired.now() == ["whsec_3"]
    assert await storage.webhook_secrets(alice, fresh="whsec_4") == expired
    kinds = [event.kind for event in await storage.audit()]
    assert kinds.count(AuditKind.WEBHOOK_SECRET_ROTATED) == 2


async def test_rotating_what_there_is_not_makes_a_secret(
    storage: Storage, alice: User
) -> None:
    made = await storage.rotate_webhook_secret(
        alice, fresh=SECRET, overlap=timedelta(hours=1), actor=Actor(user=alice)
    )

    assert made.now() == [SECRET]
    assert await storage.audit() == []
