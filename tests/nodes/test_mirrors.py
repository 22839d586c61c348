"""Runs that are followed at a node that does not do what it should."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
from pydantic_core import to_json

from llamakeep.domain import Run
from llamakeep.engine import Delta, Ended, Position, Reset
from llamakeep.engine.following import follow_elsewhere
from llamakeep.engine.live import LiveRun
from llamakeep.nodes.mirrors import Mirrors
from llamakeep.nodes.peers import Peers
from llamakeep.nodes.signing import NONCE, PROOF, proof
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.runs.nodes import Contact
from tests.storage.running import LATE, NODE, ended, start, taken_from
from tests.waiting import LONG_ENOUGH, until

HERE, SECRET = "here", "a secret"
BEGINNING: Mapping[str, Any] = {
    "attempt": 1,
    "common_length": None,
    "is_resumed": False,
    "kept": "",
    "heads": [],
}

Answer = Callable[[asyncio.StreamWriter, str], Awaitable[None]]
"""Responds to a request that has a nonce."""


@pytest.fixture
async def storage(sqlite_url: str) -> AsyncIterator[Storage]:
    async with open_storage(sqlite_url) as storage:
        yield storage


@pytest.fixture
async def mirrors(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mirrors]:
    monkeypatch.setattr("llamakeep.engine.following.POLL_INTERVAL", 0.01)
    monkeypatch.setattr("llamakeep.engine.following.RETRIES", (0.02,))
    mirrors = Mirrors(Peers(storage, "node_here", place=HERE), {})
    yield mirrors
    await mirrors.close()


@asynccontextmanager
async def node(
    storage: Storage, answer: Answer, name: str = NODE
) -> AsyncIterator[None]:
    """Have a node answer so, until this ends."""
    answering: set[asyncio.Task[None]] = set()

    async def respond(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            found = re.search(rf"{NONCE}: (\w+)", request)
            assert found
            await answer(writer, found[1])
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    contact = Contact(name, f"http://127.0.0.1:{port}#{HERE}", SECRET)
    await storage.join(name, lease=LATE, contact=contact)
    try:
        yield
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


def head(nonce: str, secret: str = SECRET) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"{PROOF}: {proof(secret, nonce)}"]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode()


def line(facts: Mapping[str, Any]) -> bytes:
    return to_json(facts) + b"\n"


async def silent(_writer: asyncio.StreamWriter, _nonce: str) -> None:
    await asyncio.sleep(LATE)


async def silent_once_begun(writer: asyncio.StreamWriter, nonce: str) -> None:
    writer.write(head(nonce))
    await asyncio.sleep(LATE)


async def hung_up(_writer: asyncio.StreamWriter, _nonce: str) -> None:
    pass


async def not_http(writer: asyncio.StreamWriter, _nonce: str) -> None:
    writer.write(b"220 mail.example.com ESMTP\r\n")
    await asyncio.sleep(LATE)


async def refused(writer: asyncio.StreamWriter, _nonce: str) -> None:
    writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")


async def stranger(writer: asyncio.StreamWriter, nonce: str) -> None:
    """Another node has the port, and says that it has the run."""
    writer.write(head(nonce, "another secret") + line(BEGINNING))
    writer.write(line({"attempt": 1, "text": "Lies"}))
    await asyncio.sleep(LATE)


async def endless_line(writer: asyncio.StreamWriter, nonce: str) -> None:
    writer.write(head(nonce))
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


async def other_version(writer: asyncio.StreamWriter, nonce: str) -> None:
    writer.write(head(nonce) + line({"version": 7}))
    await asyncio.sleep(LATE)


async def broken_off(writer: asyncio.StreamWriter, nonce: str) -> None:
    writer.write(head(nonce) + line(BEGINNING))
    writer.write(line({"attempt": 1, "text": "Once "}) + b'{"attempt": 1, "te')


async def read(storage: Storage, mirrors: Mirrors, run: Run) -> str:
    """Return the text that a reader has at the run's end."""
    text = ""
    following = follow_elsewhere(storage, mirrors, run, Position())
    async with asyncio.timeout(LONG_ENOUGH), aclosing(following) as updates:
        async for update in updates:
            if isinstance(update, Delta):
                text += update.text
            elif isinstance(update, Reset):
                text = update.text
            elif isinstance(update, Ended):
                break
    return text


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        silent_once_begun,
        hung_up,
        not_http,
        refused,
        stranger,
        endless_line,
        other_version,
        broken_off,
    ],
)
async def test_a_reader_gets_the_end_whatever_the_node_of_a_run_says(
    storage: Storage,
    mirrors: Mirrors,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
) -> None:
    monkeypatch.setattr("llamakeep.nodes.mirrors.LONGEST_BEGINNING", 0.05)
    monkeypatch.setattr("llamakeep.nodes.mirrors.LONGEST_LINE", 8192)
    alice = await storage.add_user("alice", None)
    run = await start(storage, alice)
    asked = asyncio.Event()

    async def answered(writer: asyncio.StreamWriter, nonce: str) -> None:
        asked.set()
        await answer(writer, nonce)

    async with node(storage, answered):
        reading = asyncio.create_task(read(storage, mirrors, run))
        await asked.wait()
        await storage.finish(ended(run, response="Once upon a time"))

        assert await reading == "Once upon a time"


async def test_a_reader_goes_on_at_the_node_that_takes_a_run_over(
    storage: Storage, mirrors: Mirrors
) -> None:
    alice = await storage.add_user("alice", None)
    run = await start(storage, alice)
    may_break_off, is_followed = asyncio.Event(), asyncio.Event()

    async def first(writer: asyncio.StreamWriter, nonce: str) -> None:
        writer.write(head(nonce) + line(BEGINNING))
        writer.write(line({"attempt": 1, "text": "Once "}))
        await may_break_off.wait()

    async def second(writer: asyncio.StreamWriter, nonce: str) -> None:
        writer.write(head(nonce) + line({**BEGINNING, "attempt": 2}))
        writer.write(line({"attempt": 2, "text": "There was"}))
        is_followed.set()
        await asyncio.sleep(LATE)

    async with node(storage, first):
        reading = asyncio.create_task(read(storage, mirrors, run))
        await until(lambda: has_begun(mirrors, run))
        [taken] = await taken_from(NODE, storage)
        async with node(storage, second, "node_2"):
            may_break_off.set()
            await is_followed.wait()
            await storage.finish(ended(taken, response="There was a llama"))

    assert await reading == "There was a llama"


def has_begun(mirrors: Mirrors, run: Run) -> bool:
    mirror = mirrors._mirrors.get(run.id)
    live = mirror and mirror.begun.done() and mirror.begun.result()
    return bool(live and live.length)


async def test_a_reader_goes_on_at_this_node_when_it_takes_a_run_over(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.engine.following.RETRIES", (0.02,))
    alice = await storage.add_user("alice", None)
    run = await start(storage, alice)
    here: dict[str, LiveRun] = {}
    mirrors = Mirrors(Peers(storage, "node_here", place=HERE), here)
    may_break_off = asyncio.Event()

    async def killed(writer: asyncio.StreamWriter, nonce: str) -> None:
        writer.write(head(nonce) + line(BEGINNING))
        writer.write(line({"attempt": 1, "text": "Once "}))
        await may_break_off.wait()

    async with node(storage, killed):
        reading = asyncio.create_task(read(storage, mirrors, run))
        await until(lambda: has_begun(mirrors, run))
        here[run.id] = live = LiveRun(run)
        may_break_off.set()
        await until(lambda: live._changed is not None)
    for text in ("Once ", "upon ", "a time"):
        live.receive(text)
    # The end is not in storage, where it would be looked for all the while.
    live.hand_over(ended(run, response="Once upon a time"))

    assert await reading == "Once upon a time"


async def test_who_still_waits_for_a_node_is_not_disturbed_by_a_reader_that_leaves(
    storage: Storage, mirrors: Mirrors
) -> None:
    alice = await storage.add_user("alice", None)
    run = await start(storage, alice)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(writer: asyncio.StreamWriter, nonce: str) -> None:
        asked.set()
        await go_on.wait()
        writer.write(head(nonce) + line(BEGINNING))
        await asyncio.sleep(LATE)

    async with node(storage, late):
        leaving, staying = [
            asyncio.create_task(found_by(mirrors, run)) for _ in range(2)
        ]
        await asked.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        go_on.set()

        assert await staying is not None


async def test_who_waits_for_a_node_is_sent_to_storage_when_this_node_stops(
    storage: Storage, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.nodes.mirrors.LONGEST_BEGINNING", LATE)
    alice = await storage.add_user("alice", None)
    run = await start(storage, alice)

    async with node(storage, silent):
        waiting = asyncio.create_task(found_by(mirrors, run))
        await asyncio.sleep(0)  # what asks the node has not begun yet
        await mirrors.close()

        assert await waiting is None


async def test_a_run_that_has_ended_meanwhile_is_looked_for_at_no_node(
    storage: Storage, mirrors: Mirrors
) -> None:
    alice = await storage.add_user("alice", None)
    run = await start(storage, alice)
    async with node(storage, silent):
        await storage.finish(ended(run, response="Once"))

        assert await found_by(mirrors, run) is None


async def found_by(mirrors: Mirrors, run: Run) -> LiveRun | None:
    async with asyncio.timeout(LONG_ENOUGH), mirrors.mirrored(run) as live:
        return live
