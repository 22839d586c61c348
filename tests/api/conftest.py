"""A server for each test, on a copy of one prepared database."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llamakeep.api.accounts.demo import add_demo_users
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from tests.api.accounts.logins import enrol
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider


@pytest.fixture(scope="session")
async def prepared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and the demo users; making one takes 0.1 s."""
    path = tmp_path_factory.mktemp("prepared") / "llamakeep.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        await add_demo_users(storage)
    return path


async def nothing_is_old(*_: object) -> int:
    return 0


@pytest.fixture
def is_sweeping() -> bool:
    """Whether servers look for runs that are too old; `test_retention` says yes."""
    return False


@pytest.fixture
def settings(
    settings: Settings,
    prepared_database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_sweeping: bool,
) -> Settings:
    """Demo mode, and servers do not wait for runs when they stop."""
    shutil.copy(prepared_database, tmp_path / "llamakeep.db")
    if not is_sweeping:
        monkeypatch.setattr("llamakeep.deletion.retention.sweep", nothing_is_old)
    return settings.model_copy(update={"demo": True, "shutdown_grace": 0})


@pytest.fixture
def real(settings: Settings) -> Settings:
    """Not demo mode."""
    return settings.model_copy(update={"demo": False})


@pytest.fixture
async def server(real: Settings) -> AsyncIterator[Client]:
    """A server with a real account; requests carry what a test gives them alone."""
    async with connect(real, ScriptedProvider()) as client:
        await enrol(client)
        yield client


@pytest.fixture
def quiet(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """No housekeeping of the server's own comes in between what is counted."""
    monkeypatch.setattr("llamakeep.deletion.users.purge_one", nothing_is_old)
    return settings.model_copy(update={"flush_interval": 9})


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider()


@pytest.fixture
async def client(
    settings: Settings, provider: ScriptedProvider
) -> AsyncIterator[Client]:
    """Alice's connection to a server that answers `Hello, world`."""
    async with connect(settings, provider) as client:
        yield client


@pytest.fixture(scope="module")
async def shared_client(prepared_database: Path) -> AsyncIterator[Client]:
    """Like `client`, for all tests of a module: they leave nothing behind."""
    path = prepared_database.with_name("shared.db")
    shutil.copy(prepared_database, path)
    settings = Settings.model_construct(
        database_url=f"sqlite:///{path}", demo=True, shutdown_grace=0
    )
    async with connect(settings, ScriptedProvider()) as client:
        yield client
    path.unlink()
