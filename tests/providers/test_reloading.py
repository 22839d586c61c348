"""Reading `llamakeep.toml` anew: what cannot be used changes nothing, and is said."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from llamakeep.providers.creating import create_registry
from llamakeep.providers.registry import Registry
from llamakeep.providers.reloading import Reloading
from llamakeep.settings.upstreams import read
from tests.fixtures import forget_surroundings
from tests.providers.asking import settings

ONE = '[upstreams.one]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
TWO = ONE.replace("one", "two")


@dataclass
class Server:
    """What a server has that was started where the file is."""

    file: Path
    registry: Registry
    reloading: Reloading


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a server finds where it is started."""
    forget_surroundings(monkeypatch, tmp_path)
    file = Path("llamakeep.toml")
    file.write_text(ONE)
    return file


@pytest.fixture
async def server(file: Path) -> AsyncIterator[Server]:
    given = settings(local_model=Path("none"))
    said = await asyncio.to_thread(read, given)
    registry = await asyncio.to_thread(create_registry, given, upstreams=said)

    async def changed(_names: object) -> None:
        pass

    reloading = Reloading(
        given, registry, said, supervisor=None, in_use=lambda: (), changed=changed
    )
    yield Server(file, registry, reloading)
    await registry.close()


def become_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def become_loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "cannot be read: No such file"),
    "empty": (lambda file: file.write_text(""), "It is empty"),
    "folder": (become_folder, "cannot be read: Is a directory"),
    "loop": (become_loop, "cannot be read: Too many levels of symbolic links"),
    "half": (lambda file: file.write_text(TWO[:-5]), "It is no TOML"),
    "UTF-16": (lambda file: file.write_text(TWO, "utf-16"), "not text in UTF-8"),
    "NUL": (lambda file: file.write_text(TWO + "\0"), "It is no TOML"),
    "large": (lambda file: os.truncate(file, 5_000_000), "too large"),
    "deep": (lambda file: file.write_text("a = " + 9_000 * "["), "nested too deep"),
    "number": (lambda file: file.write_text("a = " + 5_000 * "9"), "It is no TOML"),
    "variables": (lambda file: file.with_name(".env").write_bytes(b"\xff"), ".env: "),
}


@pytest.mark.parametrize("how", SPOILT)
async def test_a_file_that_cannot_be_used_leaves_all_as_it_was(
    server: Server, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, reason = SPOILT[how]
    before = server.registry.provider("one")
    await asyncio.to_thread(spoil, server.file)

    await server.reloading.reload()

    assert server.registry.by_name == {"one": before}
    assert reason in caplog.text
    assert "the upstreams stay as they were" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_file_that_is_whole_again_counts(server: Server) -> None:
    await asyncio.to_thread(server.file.unlink)
    await server.reloading.reload()
    await asyncio.to_thread(server.file.write_text, TWO)

    await server.reloading.reload()

    assert server.registry.names == ["two"]


async def test_a_file_without_upstreams_says_so_in_a_comment(server: Server) -> None:
    await asyncio.to_thread(server.file.write_text, "# none\n")

    await server.reloading.reload()

    assert server.registry.names == []
