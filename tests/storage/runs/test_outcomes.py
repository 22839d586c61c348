"""A COMMIT that breaks off: what it was for may be kept, and is kept once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

import pytest

from llamakeep.domain import RunStatus, User
from llamakeep.errors import OutcomeUnknown, StorageUnavailable
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.runs.lookups import IdempotencyKey
from tests.storage.running import NODE, ended, new_run

Moment = Literal["before", "after"]
"""When a connection is lost: before the server hears of a COMMIT, or after that."""

READY = b"Z\0\0\0\5"
"""The last message of an answer, but for the letter of a transaction's state."""


@pytest.fixture
def database_url(clean_postgres_url: str) -> str:
    return clean_postgres_url


class Cutter:
    """What lies between a node and its server, and breaks off at a COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self.cuts: Moment | None = None
        self.has_cut = asyncio.Event()
        self.is_shut = False
        self._upstream = host, port
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connect(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        server, to_server = await asyncio.open_connection(*self._upstream)

        is_idle = False
        writing: set[bytes] = set()  # the names of prepared statements

        async def answer() -> None:
            nonlocal is_idle
            while data := await server.read(65536):
                if READY in data[-6:]:
                    is_idle = data.endswith(b"I")
                to_client.write(data)
            to_client.close()

        down = asyncio.create_task(answer())
        self._tasks |= {down}
        with suppress(OSError):
            while not self.is_shut and (data := await client.read(65536)):
                name, _, rest = data[5:].partition(b"\0")
                is_write = b"INSERT INTO runs" in rest or b"UPDATE runs" in rest
                if data.startswith(b"P") and is_write:
                    writing.add(name)
                # Outside of a transaction, what is executed is committed.
                is_bound = data.startswith(b"B") and rest.split(b"\0")[0] in writing
                is_batch = is_idle and is_bound
                commits = b"COMMIT;" in data or is_batch
                if commits and self.cuts is not None:
                    down.cancel()
                    await asyncio.wait([down])
                    if self.cuts == "after":
                        to_server.write(data)
                        await server.read(1)
                    self.cuts = None
                    self.has_cut.set()
                    break
                to_server.write(data)
        to_client.transport.abort()
        to_server.close()


@pytest.fixture
async def cutter(database_url: str) -> AsyncIterator[Cutter]:
    server = urlsplit(database_url)
    assert server.hostname is not None
    assert server.port is not None
    cutter = Cutter(server.hostname, server.port)
    yield cutter
    await cutter.close()


@pytest.fixture
async def distant(cutter: Cutter, database_url: str) -> AsyncIterator[Storage]:
    port = await cutter.open()
    netloc = f"postgres@127.0.0.1:{port}"
    async with open_storage(
        urlsplit(database_url)._replace(netloc=netloc).geturl()
    ) as storage:
        yield storage


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_prompt_whose_commit_broke_off_is_kept_once(
    cutter: Cutter, distant: Storage, storage: Storage, alice: User, moment: Moment
) -> None:
    run = new_run(alice, metadata={"a": "b"})
    key = IdempotencyKey("key", b"digest")
    cutter.cuts = moment

    kept = await distant.accept(run, node=NODE, idempotency_key=key)

    assert cutter.has_cut.is_set()
    assert kept == run
    assert [each.id for each in await storage.history(alice)] == [run.id]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_prompts_whose_common_commit_broke_off_are_kept_once_each(
    cutter: Cutter, distant: Storage, storage: Storage, alice: User, moment: Moment
) -> None:
    await distant.accept(new_run(alice), node=NODE)
    new = [new_run(alice, f"Why {number}?") for number in range(20)]
    cutter.cuts = moment

    kept = await asyncio.gather(*(distant.accept(run, node=NODE) for run in new))

    assert cutter.has_cut.is_set()
    assert list(kept) == new
    assert len(await storage.history(alice)) == 21


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_run_whose_commits_broke_off_is_claimed_and_closed_once(
    cutter: Cutter, distant: Storage, storage: Storage, alice: User, moment: Moment
) -> None:
    run = new_run(alice, status=RunStatus.QUEUED, attempt=0, started_at=None)
    await storage.accept(run, node=NODE)

    cutter.cuts = moment
    assert await distant.claim(run)
    [started] = await storage.history(alice)
    cutter.cuts = moment
    assert await distant.finish(ended(started, response="So."))

    [closed] = await storage.history(alice)
    assert (closed.attempt, closed.response) == (1, "So.")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_what_may_be_stored_is_not_said_not_to_be(
    cutter: Cutter, distant: Storage, moment: Moment
) -> None:
    cutter.cuts = moment

    with pytest.raises(OutcomeUnknown, match="not known whether") as unknown:
        await distant.add_user("alice", None)

    assert "Idempotency-Key" in unknown.value.detail
    assert "othing was stored" not in unknown.value.detail
    assert unknown.value.retry_after is None


async def test_a_prompt_is_of_unknown_outcome_while_the_server_is_away(
    cutter: Cutter, distant: Storage, storage: Storage, alice: User
) -> None:
    cutter.cuts = "after"
    run = new_run(alice)

    accepting = asyncio.ensure_future(distant.accept(run, node=NODE))
    await cutter.has_cut.wait()
    cutter.is_shut = True

    with pytest.raises(OutcomeUnknown):
        await accepting
    assert [each.id for each in await storage.history(alice)] == [run.id]


async def test_what_broke_off_before_its_commit_is_not_stored(
    cutter: Cutter, distant: Storage
) -> None:
    cutter.is_shut = True

    with pytest.raises(StorageUnavailable, match="Nothing was stored") as refusal:
        await distant.add_user("alice", None)

    assert not isinstance(refusal.value, OutcomeUnknown)
