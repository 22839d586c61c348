"""PostgreSQL that is frozen, ends, or is full, while many write: what is kept of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from signal import Signals
from urllib.parse import urlsplit

import asyncpg
import pytest

from llamakeep.domain import Reservation, Usage, User
from llamakeep.domain.quotas import Quota
from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.runs.lookups import IdempotencyKey
from tests.pgbouncer import running_pgbouncer
from tests.postgres import PostgresServer, PostgresUnavailable, stoppable_postgres
from tests.storage.gates import Direction, open_gate
from tests.storage.running import NODE, ended, new_run
from tests.torture.stage import in_thread

CLIENTS = 24
DIGEST = b"digest"
HURRIED = "connect_timeout=1&command_timeout=2"
SOON = 5.0
"""Seconds until prompts are kept again, once the server is back."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    try:
        with stoppable_postgres() as server:
            yield server
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


@dataclass
class Journal:
    """What clients were told, by the ids of their runs."""

    kept: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    kept_at: float = 0.0
    longest: float = 0.0
    """Seconds that one step took at most."""


async def ask(storage: Storage, user: User, journal: Journal) -> None:
    """Store a prompt and its answer."""
    await timed(journal, storage.find_user_by_access_token(DIGEST))
    reservation = Reservation(
        quotas=(user.id,), input_tokens=4, output_tokens=6, cost=Decimal(1)
    )
    run = new_run(user, metadata={"a": "b"}, reservation=reservation)
    quota = Quota(
        id=user.id, name="tokens_per_day", whose="user", unit="tokens", limit=10**9
    )
    try:
        await timed(
            journal,
            storage.accept(
                run,
                node=NODE,
                idempotency_key=IdempotencyKey(run.id, b"digest"),
                quotas=[quota],
            ),
        )
    except OutcomeUnknown:
        return
    except StorageUnavailable:
        journal.refused.add(run.id)
        return
    journal.kept.add(run.id)
    journal.kept_at = time.monotonic()
    if await timed(journal, storage.finish(ended(run, usage=Usage(1, 2, Decimal(1))))):
        journal.ended.add(run.id)


async def timed(journal: Journal, step: Awaitable[object]) -> object:
    began = time.monotonic()
    try:
        return await step
    finally:
        journal.longest = max(journal.longest, time.monotonic() - began)


async def ask_on(
    storage: Storage, user: User, journal: Journal, stop: asyncio.Event
) -> None:
    while not stop.is_set():
        try:
            await ask(storage, user, journal)
        except StorageUnavailable:
            await asyncio.sleep(0.05)


async def check(url: str, storage: Storage, user: User, journal: Journal) -> None:
    """Check that nothing was lost, that nothing is wrong and nothing there twice."""
    administrator = await asyncpg.connect(url)
    rows = await administrator.fetch("SELECT id, status FROM runs")
    tags = await administrator.fetchval("SELECT count(*) FROM run_tags")
    await administrator.close()
    found = {row["id"]: row["status"] for row in rows}
    over = {run_id for run_id, status in found.items() if status == "succeeded"}
    assert journal.kept <= found.keys()
    assert not journal.refused & found.keys()
    assert journal.ended <= over
    assert tags == 2 * len(found)
    [count] = await storage.counts(
        [Quota(id=user.id, name="", whose="user", unit="runs", limit=1)]
    )
    unfinished = len(found) - len(over)
    assert (count.running, count.tokens_reserved) == (unfinished, 10 * unfinished)
    assert (count.tokens_used, count.cost_used) == (3 * len(over), Decimal(len(over)))


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@asynccontextmanager
async def asking(url: str, journal: Journal) -> AsyncIterator[tuple[Storage, User]]:
    """Have clients store prompts and answers, all the time."""
    async with open_storage(f"{url}?{HURRIED}", migrate=True) as storage:
        await storage._database.write(
            lambda c: c.exec_driver_sql("DELETE FROM users").close()
        )
        user = await storage.add_user("alice", None)
        await storage.add_access_token(user, DIGEST, lifetime=timedelta(hours=1))
        stop = asyncio.Event()
        clients = [
            asyncio.create_task(ask_on(storage, user, journal, stop))
            for _ in range(CLIENTS)
        ]
        try:
            yield storage, user
        finally:
            stop.set()
            await asyncio.gather(*clients)


@pytest.fixture
def database_url(clean_postgres_url: str) -> str:
    return clean_postgres_url


@pytest.mark.parametrize("direction", ["sent", "received"])
async def test_a_connection_may_be_cut_anywhere(
    storage: Storage, alice: User, database_url: str, direction: Direction
) -> None:
    journal = Journal()
    await storage.add_access_token(alice, DIGEST, lifetime=timedelta(hours=1))
    async with (
        open_gate(database_url) as gate,
        open_storage(f"{gate.url}?{HURRIED}") as distant,
    ):
        await ask(distant, alice, journal)
        for after in (1, 100, 1000, 3000, 5000, 7000, 9000, 12000):
            gate.cut(direction, after if direction == "sent" else after // 20 + 1)
            while not gate.is_cut:
                asked = (ask(distant, alice, journal) for _ in range(3))
                for failure in await asyncio.gather(*asked, return_exceptions=True):
                    assert isinstance(failure, StorageUnavailable | None)

    await check(database_url, storage, alice, journal)


async def kept_again(journal: Journal, since: float) -> float:
    """Return the seconds until a prompt is kept that was sent after the trouble."""
    async with asyncio.timeout(30):
        while journal.kept_at <= since:  # noqa: ASYNC110 - a figure, not an event
            await asyncio.sleep(0.01)
    return journal.kept_at - since


async def freeze(server: PostgresServer, *, seconds: float = 3) -> None:
    await asyncio.to_thread(server.pause)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.resume)


async def restart(server: PostgresServer, *, how: Signals) -> None:
    await asyncio.to_thread(server.stop, how)
    await asyncio.sleep(1)
    await asyncio.to_thread(server.start)


TROUBLES: dict[str, Callable[[PostgresServer], Awaitable[None]]] = {
    "frozen": freeze,
    "crashed": partial(restart, how=Signals.SIGQUIT),
    "restarted": partial(restart, how=Signals.SIGINT),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "pooler"),
    [
        *((trouble, None) for trouble in TROUBLES),
        ("frozen", "session"),
        ("crashed", "session"),
        ("frozen", "transaction"),
        ("crashed", "transaction"),
    ],
)
async def test_trouble_loses_nothing_and_is_over_soon(
    own_server: PostgresServer, trouble: str, pooler: str | None
) -> None:
    journal = Journal()
    async with (
        in_thread(running_pgbouncer(own_server.url, pooler, size=30))
        if pooler
        else nullcontext(own_server.url)
    ) as url:
        async with asking(url, journal) as (storage, user):
            assert await kept_again(journal, 0)
            await TROUBLES[trouble](own_server)
            took = await kept_again(journal, time.monotonic())
            await asyncio.sleep(0.5)
        async with open_storage(url) as storage:
            await check(own_server.url, storage, user, journal)

    assert took < SOON
    assert journal.longest < 15


@pytest.mark.slow
async def test_a_promoted_standby_has_all_that_was_kept(
    own_server: PostgresServer,
) -> None:
    del own_server  # or there is none here
    journal = Journal()
    async with (
        in_thread(stoppable_postgres()) as primary,
        in_thread(stoppable_postgres(primary)) as standby,
    ):
        await execute(
            primary.url,
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        )
        both = urlsplit(primary.url)
        netloc = f"{both.netloc},{urlsplit(standby.url).netloc.partition('@')[2]}"
        url = both._replace(netloc=netloc).geturl()
        async with asking(url, journal) as (storage, user):
            assert await kept_again(journal, 0)
            await asyncio.to_thread(primary.stop)
            await asyncio.sleep(0.5)
            await execute(standby.url, "SELECT pg_promote()")
            took = await kept_again(journal, time.monotonic())
        async with open_storage(url) as storage:
            await check(standby.url, storage, user, journal)

    assert took < SOON
    assert journal.longest < 15
