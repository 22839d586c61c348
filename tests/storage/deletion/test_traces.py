"""Deleting very many runs leaves their words for a while, and then no more."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text

from llamakeep.deletion.retention import sweep
from llamakeep.domain import User
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.deletion import traces
from llamakeep.storage.deletion.runs import Forgotten
from llamakeep.storage.deletion.traces import (
    MARKING_WORDS,
    OVERWRITING_WORDS,
    DeletionPace,
)
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import read_search
from tests.storage.running import delete_user

RUNS = 30


async def _keep(storage: Storage, user: User) -> Sequence[str]:
    kept = [
        (await storage.add(user, f"kept{n}", f"zyzzyva{n} xylem")).id
        for n in range(RUNS)
    ]
    while await storage.index_finished():
        pass
    return kept


async def _delete_all(storage: Storage, user: User) -> None:
    run_ids = await storage.find_finished(user, before=HIGHEST, limit=RUNS)
    forgotten = await storage.forget(
        user, run_ids, DeletionPace(7, 30, keeps_words=True, rest=1)
    )
    assert forgotten == Forgotten(RUNS, RUNS)


async def _has_word(folder: Path) -> bool:
    def look() -> bool:
        files = folder.glob("llamakeep.db*")
        return any(b"zyzzyva" in file.read_bytes() for file in files)

    return await asyncio.to_thread(look)


async def _find(storage: Storage, user: User) -> Sequence[str]:
    matching = RunFilter(search=read_search("xylem"))
    return [run.id for run in await storage.history(user, matching=matching)]


async def _is_whole(storage: Storage) -> None:
    check = text("INSERT INTO search_words (search_words) VALUES ('integrity-check')")
    await storage._database.write(lambda c: c.execute(check).close())


async def test_words_of_many_deleted_runs_are_out_of_the_file_at_the_end(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        bob = await storage.add_user("bob", None)
        await _keep(storage, alice)

        await _delete_all(storage, alice)
        between = await _has_word(tmp_path)
        his = [(await storage.add(bob, "xylem", str(n))).id for n in range(3)]
        await storage.erase_traces()

        after = await _has_word(tmp_path)
        await _is_whole(storage)
        assert (between, after) == (True, False)
        assert await _find(storage, alice) == []
        assert await _find(storage, bob) == his[::-1]


async def test_what_a_deletion_left_that_broke_off_is_erased_later(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        await _keep(storage, alice)
        await _delete_all(storage, alice)
    before = await _has_word(tmp_path)

    async with open_storage(sqlite_url) as storage:
        await sweep(storage, None)

    assert (before, await _has_word(tmp_path)) == (True, False)


async def test_a_deletion_meanwhile_is_not_taken_for_erased(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        await _keep(storage, alice)
        await _delete_all(storage, alice)
        await _keep(storage, alice)
        erasing = asyncio.create_task(storage.erase_words())
        await asyncio.sleep(0)

        await _delete_all(storage, alice)
        await erasing
        await storage.erase_traces()

    assert not await _has_word(tmp_path)


async def test_a_run_of_very_many_words_is_cut_out_of_the_index(
    sqlite_url: str, tmp_path: Path
) -> None:
    said = " ".join(f"zyzzyva{n} e\u0301{n} \u03bb_{n} 'x{n}\"" for n in range(500))
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        gone, also = [await storage.add(alice, "xylem", said) for _ in range(2)]
        kept = await storage.add(alice, "kept", "xylem")
        before = await _find(storage, alice)

        await storage.delete_run(alice, gone.id)
        await storage.forget(alice, [also.id], OVERWRITING_WORDS)
        await storage.erase_traces()

        assert before == [kept.id, also.id, gone.id]
        assert await _find(storage, alice) == [kept.id]
        await _is_whole(storage)
    assert not await _has_word(tmp_path)


@pytest.mark.slow
async def test_it_depends_on_the_others_what_are_many_runs(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "WORTH_MERGING", 200)
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        await _keep(storage, alice)
        bob = await storage.add_user("bob", None)
        for n in range(200):
            await storage.add(bob, f"prompt {n}", "response")
        paces = [await storage.pace(count) for count in (1, RUNS)]

        await delete_user(storage, alice)

        assert paces == [OVERWRITING_WORDS, MARKING_WORDS]
    assert not await _has_word(tmp_path)


async def test_deleting_cuts_words_out_where_the_rest_is_much_more(
    storage: Storage, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "WORTH_MERGING", 200)
    for n in range(201):
        await storage.add(bob, f"prompt {n}", "response")
    await storage.add(alice, "prompt", "response")

    await delete_user(storage, alice)

    assert len(await storage.history(bob, limit=300)) == 201
    assert await storage.list_users() == [bob]
