"""Where backups are written: what is there already, links, and odd names."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from llamakeep.domain import User
from llamakeep.errors import StorageUnavailable
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.backup import back_up, restore, verify
from tests.storage.running import start


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@pytest.mark.usefixtures("storage")
async def test_a_folder_that_no_backup_made_is_not_emptied(
    database_url: str, file: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "backup.part" / "theirs"

    def make() -> None:
        theirs.mkdir(parents=True)
        (theirs / "text").write_text("precious")
        (tmp_path / "link.part").symlink_to(theirs)

    await asyncio.to_thread(make)

    for each in (file, tmp_path / "link"):
        with pytest.raises(StorageUnavailable, match="no backup made it"):
            await back_up(database_url, each)

    assert await asyncio.to_thread((theirs / "text").read_text) == "precious"
    assert await asyncio.to_thread(lambda: len([*theirs.iterdir()])) == 1


@pytest.mark.usefixtures("storage")
async def test_a_backup_is_written_to_where_a_link_leads(
    database_url: str, file: Path, tmp_path: Path
) -> None:
    link = tmp_path / "newest"
    await asyncio.to_thread(link.symlink_to, file)

    await back_up(database_url, link)

    assert await asyncio.to_thread(link.is_symlink)
    assert (await verify(file)).counts["users"] == 0


async def test_a_backup_may_have_any_name(
    storage: Storage, alice: User, database_url: str, tmp_path: Path
) -> None:
    await start(storage, alice, "zyzzyva", store=False)
    odd = tmp_path / "what? 100 %20 #1"

    await back_up(database_url, odd)

    assert (await verify(odd)).counts["runs"] == 1


async def test_a_database_behind_a_link_stays_there_when_it_is_restored(
    storage: Storage, alice: User, database_url: str, file: Path, tmp_path: Path
) -> None:
    await back_up(database_url, file)
    real, link = tmp_path / "disk" / "real.db", tmp_path / "link.db"
    await asyncio.to_thread(real.parent.mkdir)
    await asyncio.to_thread(link.symlink_to, real)

    for is_replaced in (False, True):
        await restore(file, f"sqlite:///{link}", is_replaced=is_replaced)

    assert await asyncio.to_thread(link.is_symlink)
    async with open_storage(f"sqlite:///{real}") as restored:
        assert await restored.list_users() == [alice]
    assert len(await storage.list_users()) == 1


async def test_what_was_restored_in_vain_does_not_stay_on_a_full_disk(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'stopped.db'}"
    async with open_storage(url) as storage:
        alice = await storage.add_user("alice", None)
    await back_up(url, file)
    before = await asyncio.to_thread(_beside, file)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StorageUnavailable, match="No space left"):
            await restore(file, url, is_replaced=True)

    assert await asyncio.to_thread(_beside, file) == before
    async with open_storage(url) as still:
        assert await still.list_users() == [alice]


async def test_there_is_a_database_at_each_moment_of_a_restoration(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'stopped.db'}"
    async with open_storage(url) as storage:
        alice = await storage.add_user("alice", None)
    await back_up(url, file)
    replace = Path.replace

    def ends_before_the_last_step(path: Path, target: Path) -> Path:
        if path.name.endswith(".restoring"):
            raise OSError(errno.EIO, "Killed")
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", ends_before_the_last_step)
        with pytest.raises(StorageUnavailable, match="Killed"):
            await restore(file, url, is_replaced=True)

    async with open_storage(url) as still:
        assert await still.list_users() == [alice]
    assert "stopped.db.replaced-" in str(await restore(file, url, is_replaced=True))


def _beside(file: Path) -> set[str]:
    return {each.name for each in file.parent.iterdir()}
