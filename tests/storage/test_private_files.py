"""Files of a database that others could read."""

import asyncio
import stat
from pathlib import Path

import pytest

from llamakeep.storage import open_storage
from llamakeep.storage.database.private_files import keep_private


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
