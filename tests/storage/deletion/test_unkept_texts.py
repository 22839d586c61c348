"""Runs whose texts are erased by the transaction that finishes them."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llamakeep.domain import Message, Parameters, Reasoning, RunStatus, User
from llamakeep.domain.messages import message_of
from llamakeep.engine import Delta, Position
from llamakeep.engine.following import follow_stored
from llamakeep.errors import TextNotKept
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database import sqlite
from tests.storage.running import ended, start
from tests.waiting import until

TEXTS: dict[str, Any] = {
    "system_prompt": "S",
    "prior_messages": (Message("user", "Before"),),
    "last_message": message_of("user", [Reasoning("T")]),
    "parameters": Parameters(stop=("Z",), temperature=0.5),
    "store": False,
}


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED])
async def test_the_end_of_a_run_erases_what_is_not_stored(
    storage: Storage, alice: User, status: RunStatus
) -> None:
    run = await start(storage, alice, **TEXTS)
    await storage.flush([replace(run, response="Half")])
    before = await storage.get_run(alice, run.id)

    is_mine = await storage.finish(
        ended(
            run,
            status,
            response="Whole",
            output=(Reasoning("T"),),
            error_code="provider-unavailable",
            error_detail="It cites the prompt.",
        )
    )

    after = await storage.get_run(alice, run.id)
    assert is_mine
    assert (before.store, before.prompt, before.response) == (False, "Why?", "Half")
    assert (after.store, after.prompt, after.response) == (False, "", "")
    assert (after.system_prompt, after.prior_messages) == (None, ())
    assert (after.last_message, after.output) == (None, ())
    assert after.parameters == Parameters(temperature=0.5)
    assert (after.status, after.error_code) == (status, "provider-unavailable")
    assert after.error_detail is None


async def test_a_run_that_a_crash_left_is_erased_when_it_is_closed(
    storage: Storage, alice: User
) -> None:
    left = await start(storage, alice, **TEXTS)

    [taken] = await storage.take_over("node_2")
    await storage.finish(ended(taken, RunStatus.INTERRUPTED))

    assert (taken.store, taken.prompt) == (False, "Why?")
    assert (await storage.get_run(alice, left.id)).prompt == ""


async def test_a_reader_of_another_server_is_told_that_the_rest_is_gone(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, store=False)
    await storage.attach(run, "handle")
    await storage.flush([replace(run, response="Half")])
    following = follow_stored(storage, run, Position(), every=0.01)

    first = await anext(following)
    await storage.finish(ended(run, response="Half and half"))

    assert first == Delta("Half", Position(4, 1))
    with pytest.raises(TextNotKept):
        _ = [update async for update in following]


CRASHING = """
import asyncio, os, sys
from tests.storage.running import ended, start
from llamakeep.storage import open_storage

async def main():
    async with open_storage(sys.argv[1]) as storage:
        alice = await storage.add_user("alice", None)
        run = await start(storage, alice, "zyzzyva", store=False)
        await storage.finish(ended(run, response="zyzzyva"))
        os._exit(0)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_the_log_that_a_crash_left_is_emptied_by_the_next_start(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "ERASED_AFTER", 0)
    command = [sys.executable, "-c", CRASHING, sqlite_url]
    await asyncio.to_thread(subprocess.run, command, check=True)

    def has_word() -> bool:
        return any(b"zyzzyva" in file.read_bytes() for file in tmp_path.iterdir())

    async def is_gone() -> bool:
        return not await asyncio.to_thread(has_word)

    was_there = await asyncio.to_thread(has_word)
    async with open_storage(sqlite_url):
        await until(is_gone)

    assert was_there
