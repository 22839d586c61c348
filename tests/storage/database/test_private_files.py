"""Files of a database that others could read."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from llamakeep.errors import DatabaseMissing, LlamaKeepError, StorageUnavailable
from llamakeep.storage import open_storage
from llamakeep.storage.database.private_files import keep_private
from llamakeep.storage.database.sqlite import SqliteDatabase


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o660, 0o604])
async def test_files_that_others_may_read_are_taken_away_from_them(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    names = ["llamakeep.db", "llamakeep.db.lock"]

    def open_up() -> None:
        for name in names:
            (tmp_path / name).touch()
            (tmp_path / name).chmod(mode)

    await asyncio.to_thread(open_up)

    async with open_storage(sqlite_url) as storage:
        await storage.add_user("alice", None)
        modes = await asyncio.to_thread(_modes, tmp_path)

    side_files = ["llamakeep.db-wal", "llamakeep.db-shm"]
    assert modes == dict.fromkeys([*names, *side_files], 0o600)
    assert (
        f"llamakeep.db was open to other users of this computer (mode 0{mode:o})"
        in (caplog.text)
    )


async def test_a_private_file_is_no_reason_for_a_warning(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_storage(sqlite_url):
        pass

    assert caplog.text == ""


@pytest.mark.skipif(os.name == "nt", reason="it has no named pipes in folders")
def test_what_is_no_file_is_left_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o666)
    pipe.chmod(0o666)

    for path in (pipe, tmp_path):
        with pytest.raises(StorageUnavailable, match="is not a file"):
            SqliteDatabase(path)

    assert _modes(tmp_path) == {"pipe": 0o666}


@pytest.mark.parametrize(
    ("is_owner", "error", "words"),
    [(True, StorageUnavailable, "no folder"), (False, DatabaseMissing, "name another")],
)
def test_a_folder_that_is_missing_is_named(
    tmp_path: Path, is_owner: bool, error: type[LlamaKeepError], words: str
) -> None:
    path = tmp_path / "nowhere" / "llamakeep.db"

    with pytest.raises(error, match=words):
        SqliteDatabase(path, is_owner=is_owner)


def test_a_file_of_another_owner_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "theirs.db"
    path.touch()
    path.chmod(0o644)

    def refuse(*_: object) -> None:  # root may change any file's
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)

    keep_private(path)

    assert f"{path} is open to other users" in caplog.text
    assert "Operation not permitted. Its owner has to do it: chmod 600" in caplog.text


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
