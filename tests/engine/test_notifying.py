"""The notifier, with somebody else who sends."""

import asyncio
from collections.abc import Mapping

import pytest

from llamakeep.domain import (
    Notification,
    NotificationEvent,
    NotificationStatus,
    Run,
    User,
    new_id,
)
from llamakeep.errors import StorageUnavailable
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from llamakeep.webhooks import delivery as notifying
from llamakeep.webhooks.addresses import Guard
from llamakeep.webhooks.delivery import Notifier, next_pause
from llamakeep.webhooks.posting import Outcome, Poster
from tests.storage.running import ended, start
from tests.waiting import LONG_ENOUGH

SECRET = "whsec_c2VjcmV0"


class Postman(Poster):
    """Delivers nothing before it may, and counts what is on its way."""

    def __init__(self) -> None:
        super().__init__(Guard())
        self.may_go = asyncio.Event()
        self.urls: list[str] = []
        self.on_their_way: list[str] = []
        self.outcome = Outcome(200)

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Outcome:
        assert headers["webhook-signature"]
        assert body
        assert seconds <= 10
        self.urls.append(url)
        self.on_their_way.append(url)
        try:
            await self.may_go.wait()
        finally:
            self.on_their_way.remove(url)
        return self.outcome


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "LOOK", 0.01)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def render(notification: Notification, run: Run) -> bytes:
    return f"{notification.id} {run.id}".encode()


async def watched(storage: Storage, user: User, host: str) -> Run:
    await storage.webhook_secrets(user, fresh=SECRET)
    wanted = Notification(
        id=new_id("msg_"),
        event=NotificationEvent.END,
        url=f"https://{host}/",
        host=host,
        form="run",
    )
    run = await start(storage, user, notifications=[wanted])
    await storage.finish(ended(run))
    return run


async def until(storage: Storage, run: Run, tries: int) -> Notification:
    """Wait until a webhook was tried so often and is not on its way."""
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            known = await storage.find_notification(run)
            assert known is not None
            if known.tries == tries and (known.last_error or not known.next_try_at):
                return known
            await asyncio.sleep(0.01)


async def on_their_way(postman: Postman, count: int) -> list[str]:
    """Return what is on its way once that is so much, and a moment later."""
    async with asyncio.timeout(LONG_ENOUGH):
        while len(postman.on_their_way) < count:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    return sorted(postman.on_their_way)


async def test_only_some_go_to_the_same_host_or_of_the_same_user_at_once(
    settings: Settings,
    storage: Storage,
    alice: User,
    bob: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE_PER_HOST", 2)
    monkeypatch.setattr(notifying, "AT_ONCE_PER_USER", 3)
    for user, host in (*4 * [(alice, "a")], (alice, "b"), (alice, "c"), (bob, "d")):
        await watched(storage, user, host)
    postman = Postman()
    notifier = Notifier(settings, storage, postman, render)

    notifier.open()
    first = await on_their_way(postman, 4)
    postman.may_go.set()
    async with asyncio.timeout(LONG_ENOUGH):
        while len(postman.urls) < 7:  # noqa: ASYNC110 - it is a test
            await asyncio.sleep(0.01)
    await notifier.close()

    assert first == ["https://a/", "https://a/", "https://b/", "https://d/"]
    assert not await storage.is_any_notification_due()


async def test_no_more_are_sent_at_once_than_there_is_room_for(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifying, "AT_ONCE", 2)
    for host in ("a", "b", "c"):
        await watched(storage, alice, host)
    postman = Postman()
    notifier = Notifier(settings, storage, postman, render)

    notifier.open()
    first = await on_their_way(postman, 2)
    postman.may_go.set()
    await notifier.close()

    assert len(first) == 2


async def test_what_the_server_cannot_write_is_tried_again_like_any_other(
    settings: Settings, storage: Storage, alice: User
) -> None:
    def fail(notification: Notification, run: Run) -> bytes:
        raise ArithmeticError(notification, run)

    run = await watched(storage, alice, "a")
    notifier = Notifier(settings, storage, Postman(), fail)

    notifier.open()
    known = await until(storage, run, 1)
    await notifier.close()

    assert known.status is NotificationStatus.WAITING
    assert known.last_error == "The server has a bug; its log says more."


async def test_what_is_on_its_way_when_the_server_stops_is_due_again_later(
    settings: Settings,
    storage: Storage,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifying, "LAST_TRIES", 0.05)
    run = await watched(storage, alice, "a")
    postman = Postman()
    notifier = Notifier(settings, storage, postman, render)
    notifier.open()
    await on_their_way(postman, 1)

    await notifier.close()

    assert postman.on_their_way == []
    known = await storage.find_notification(run)
    assert known is not None
    assert known.status is NotificationStatus.WAITING
    assert known.next_try_at is not None


async def test_a_database_that_fails_for_a_moment_stops_nothing(
    settings: Settings, storage: Storage, alice: User
) -> None:
    run = await watched(storage, alice, "a")
    postman = Postman()
    postman.may_go.set()
    look, looks = storage.is_any_notification_due, 0

    async def fail_at_first() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StorageUnavailable
        if looks == 2:
            raise ArithmeticError
        return await look()

    storage.is_any_notification_due = fail_at_first  # type: ignore[method-assign] # a fault
    notifier = Notifier(settings, storage, postman, render)

    notifier.open()
    known = await until(storage, run, 1)
    await notifier.close()

    assert known.status is NotificationStatus.DELIVERED


@pytest.mark.parametrize(
    ("tries", "outcome", "least", "most"),
    [
        (1, Outcome(500), 4.5, 5.5),
        (2, Outcome(trouble="x"), 27, 33),
        (3, Outcome(302), 108, 132),
        (4, Outcome(404), 540, 660),
        (5, Outcome(500), 3240, 3960),
        (6, Outcome(500), 19440, 23760),
        (1, Outcome(503, retry_after=60), 60, 60),
        (1, Outcome(503, retry_after=0), 5, 5),
        (6, Outcome(503, retry_after=7), 7, 7),
        (1, Outcome(429, retry_after=1e9), 21600, 21600),
    ],
)
def test_pauses_grow_unless_the_receiver_knows_better(
    tries: int, outcome: Outcome, least: float, most: float
) -> None:
    pause = next_pause(tries, outcome)

    assert pause is not None
    assert least <= pause <= most


@pytest.mark.parametrize(
    ("tries", "outcome"),
    [(7, Outcome(500)), (8, Outcome(503, retry_after=1)), (1, Outcome(410))],
)
def test_there_is_an_end_to_trying(tries: int, outcome: Outcome) -> None:
    assert next_pause(tries, outcome) is None
