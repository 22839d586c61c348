"""Images: kept once for each user, as long as a run shows them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from llamakeep.domain import Image, Run, RunStatus, Text, User, new_id, utc_now
from llamakeep.domain.messages import message_of
from llamakeep.errors import ImageNotFound
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database.tables import images, run_images
from llamakeep.storage.deletion.traces import SHARED
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.runs.lookups import IdempotencyKey
from tests.images import hash_of, image, png
from tests.storage.running import NODE, delete_user, ended, new_run, start

CAT, DOG = image(png(of=1)), image(png(of=2))
KEY = IdempotencyKey("once", b"digest")


def showing(user: User, *shown: Image, **facts: Any) -> Run:
    """Return a new run whose prompt shows images."""
    without_data = [replace(each, data=None) for each in shown]
    last = message_of("user", [Text("What is this?"), *without_data])
    facts = {"last_message": last, "images": shown} | facts
    return new_run(user, last.content, **facts)


async def keep(storage: Storage, user: User, *shown: Image, **facts: Any) -> Run:
    """Keep a finished run whose prompt shows images."""
    run = await storage.accept(showing(user, *shown, **facts), node=NODE)
    await storage.finish(ended(run))
    return run


async def kept(storage: Storage) -> tuple[int, int]:
    """Return how many images there are, and how often runs show them."""
    counts = [select(func.count()).select_from(one) for one in (images, run_images)]
    found = await storage._database.read(
        lambda connection: [connection.scalar(each) or 0 for each in counts]
    )
    return found[0], found[1]


async def test_an_image_comes_back_with_the_run_that_shows_it(
    storage: Storage, alice: User
) -> None:
    run = await keep(storage, alice, CAT)

    again = await storage.get_run(alice, run.id)
    found = await storage.get_image(alice, run.id, hash_of(png(of=1)))

    assert again.last_message == run.last_message
    assert again.prompt == "What is this?"
    assert found == ("image/png", CAT.size)
    assert await storage.image_data(alice.id, [CAT.sha256 or ""]) == {
        CAT.sha256: CAT.data
    }


async def test_an_image_is_kept_once_for_each_user(
    storage: Storage, alice: User, bob: User
) -> None:
    for user in (alice, alice, bob):
        await keep(storage, user, CAT)

    assert await kept(storage) == (2, 3)


async def test_a_run_may_show_what_is_kept_already_without_its_bytes(
    storage: Storage, alice: User
) -> None:
    first = await keep(storage, alice, CAT)
    second = await keep(storage, alice, replace(CAT, data=None))
    await storage.delete_run(alice, first.id)

    found = await storage.get_image(alice, second.id, CAT.sha256 or "")
    data = await storage.image_data(alice.id, [CAT.sha256 or ""])

    assert found.size == CAT.size
    assert data == {CAT.sha256: CAT.data}


async def test_a_run_that_shows_what_is_not_kept_is_not_stored(
    storage: Storage, alice: User, bob: User
) -> None:
    await keep(storage, bob, CAT)

    with pytest.raises(ImageNotFound, match="Send the image itself"):
        await keep(storage, alice, DOG, replace(CAT, data=None))

    assert await kept(storage) == (1, 1)
    assert await storage.history(alice) == []


async def test_nobody_is_given_an_image_of_anothers_run(
    storage: Storage, alice: User, bob: User
) -> None:
    run = await keep(storage, alice, CAT)
    other = await keep(storage, alice, DOG)
    await keep(storage, bob, CAT)

    for user, run_id, shown in [
        (bob, run.id, CAT),
        (alice, other.id, CAT),
        (alice, new_id("run_"), CAT),
        (alice, run.id, DOG),
    ]:
        with pytest.raises(ImageNotFound):
            await storage.get_image(user, run_id, shown.sha256 or "")
    found = await storage.image_data(alice.id, ["0" * 64, CAT.sha256 or ""])
    assert found == {CAT.sha256: CAT.data}


async def test_a_repeated_request_writes_no_image(
    storage: Storage, alice: User
) -> None:
    async def ask(*shown: Image) -> Run:
        run = showing(alice, *shown)
        return await storage.accept(run, node=NODE, idempotency_key=KEY)

    first = await ask(CAT)
    again = await ask(DOG)

    assert again.id == first.id
    assert await kept(storage) == (1, 1)


async def _delete_one_by_one(storage: Storage, user: User, runs: Sequence[Run]) -> None:
    for run in runs:
        await storage.delete_run(user, run.id)


async def _forget(storage: Storage, user: User, runs: Sequence[Run]) -> None:
    pace = await storage.pace(len(runs))
    await storage.forget(user, [run.id for run in runs], replace(pace, seconds=30))


async def _delete_user(storage: Storage, user: User, _: Sequence[Run]) -> None:
    await delete_user(storage, user)


@pytest.mark.parametrize("delete", [_delete_one_by_one, _forget, _delete_user])
async def test_an_image_goes_with_the_last_run_that_shows_it(
    storage: Storage, alice: User, bob: User, delete: Any
) -> None:
    runs = [await keep(storage, alice, *shown) for shown in [(CAT,), (CAT, DOG)]]
    await keep(storage, bob, CAT)

    await storage.delete_run(alice, runs[0].id)
    between = await kept(storage)
    await delete(storage, alice, runs[1:])

    assert between == (3, 3)
    assert await kept(storage) == (1, 1)


async def test_an_unfinished_run_of_a_deleted_user_takes_its_images_along(
    storage: Storage, alice: User
) -> None:
    await start(storage, alice)
    await storage.accept(showing(alice, CAT), node=NODE)

    await delete_user(storage, alice, patience=0)

    assert await kept(storage) == (0, 0)


async def test_imported_runs_bring_their_images(storage: Storage, alice: User) -> None:
    facts = {"status": RunStatus.SUCCEEDED, "finished_at": utc_now()}
    known = replace(CAT, data=None)
    runs = [showing(alice, CAT, **facts), showing(alice, known, DOG, **facts)]

    assert await storage.import_runs(alice, runs) == 2
    assert await storage.import_runs(alice, runs) == 0

    assert await kept(storage) == (2, 3)


async def test_an_import_that_lacks_an_image_stores_nothing(
    storage: Storage, alice: User
) -> None:
    facts = {"status": RunStatus.SUCCEEDED, "finished_at": utc_now()}
    lacking = showing(alice, replace(DOG, data=None), **facts)

    with pytest.raises(ImageNotFound, match=lacking.id):
        await storage.import_runs(alice, [showing(alice, CAT, **facts), lacking])

    assert await kept(storage) == (0, 0)
    assert await storage.history(alice) == []


async def test_a_deleted_image_is_out_of_the_file(
    sqlite_url: str, tmp_path: Path
) -> None:
    data = png() + b"zyzzyva" * 20_000
    async with open_storage(sqlite_url) as storage:
        alice = await storage.add_user("alice", None)
        run = await keep(storage, alice, image(data))
        before = await asyncio.to_thread(_is_in, tmp_path)
        await storage.delete_run(alice, run.id)
        await storage.erase_traces()
        after = await asyncio.to_thread(_is_in, tmp_path)

    assert (before, after) == (True, False)


def _is_in(folder: Path) -> bool:
    files = folder.glob("llamakeep.db*")
    return any(b"zyzzyva" in file.read_bytes() for file in files)


@pytest.mark.slow
async def test_what_is_shown_anew_while_its_last_run_is_deleted_stays(
    clean_postgres_url: str,
) -> None:
    async with (
        open_storage(clean_postgres_url) as one,
        open_storage(clean_postgres_url) as other,
    ):
        alice = await one.add_user("alice", None)
        for _ in range(20):
            run = await keep(one, alice, CAT, DOG)
            again, _ = await asyncio.gather(
                keep(other, alice, DOG, CAT), one.delete_run(alice, run.id)
            )
            for shown in (CAT, DOG):
                await one.get_image(alice, again.id, shown.sha256 or "")
                found = await one.image_data(alice.id, [shown.sha256 or ""])
                assert found == {shown.sha256: shown.data}
            assert await kept(one) == (2, 2)

            await asyncio.gather(
                other.delete_run(alice, again.id),
                one.forget(alice, [again.id], SHARED),
                return_exceptions=True,
            )
            assert await kept(one) == (0, 0)
        assert await one.history(alice, before=HIGHEST) == []


async def test_an_image_goes_with_the_end_of_the_last_run_that_is_not_stored(
    storage: Storage, alice: User
) -> None:
    await keep(storage, alice, CAT)

    await keep(storage, alice, CAT, DOG, store=False)

    assert await kept(storage) == (1, 1)
