import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.postgres import (
    PostgresServer,
    new_database,
    running_postgres,
    stoppable_postgres,
)


async def test_each_test_has_an_empty_database_of_its_own(
    postgres_server: str, postgres_url: str
) -> None:
    ours, other = await _connect(postgres_url), await _connect(postgres_server)

    await ours.execute("CREATE TABLE keepsakes (id int)")

    assert await other.fetchval("SELECT to_regclass('keepsakes')") is None
    await ours.close()
    await other.close()


async def test_a_database_can_be_a_copy_of_another(
    postgres_server: str, postgres_url: str
) -> None:
    original = await _connect(postgres_url)
    await original.execute("CREATE TABLE keepsakes AS SELECT 42 AS id")
    await original.close()

    async with new_database(postgres_server, _name(postgres_url)) as url:
        copy = await _connect(url)
        ids = await copy.fetchval("SELECT array_agg(id) FROM keepsakes")
        await copy.close()

    assert ids == [42]


async def test_a_database_is_gone_after_its_test(postgres_server: str) -> None:
    async with new_database(postgres_server) as url:
        pass

    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await _connect(url)


def test_nothing_is_left_of_a_server(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "LLAMAKEEP_TEST_POSTGRES" in os.environ:
        pytest.skip(f"{postgres_server} was not started by the tests.")
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr("tempfile.tempdir", folder)

        with running_postgres():
            [home] = Path(folder).iterdir()
            pid = int((home / "data" / "postmaster.pid").read_text().split()[0])

        assert list(Path(folder).iterdir()) == []
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.fixture
def own_server(postgres_server: str) -> Iterator[PostgresServer]:
    if "LLAMAKEEP_TEST_POSTGRES" in os.environ:
        pytest.skip(f"{postgres_server} was not started by the tests.")
    with stoppable_postgres() as server:
        yield server


async def test_a_server_keeps_its_data_over_a_crash(own_server: PostgresServer) -> None:
    before = await _connect(own_server.url)
    await before.execute("CREATE TABLE keepsakes AS SELECT 42 AS id")

    await asyncio.to_thread(own_server.stop)
    await asyncio.to_thread(own_server.start)

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await before.execute("SELECT 1")
    after = await _connect(own_server.url)
    assert await after.fetchval("SELECT id FROM keepsakes") == 42
    await after.close()


async def test_a_paused_server_answers_when_it_is_resumed(
    own_server: PostgresServer,
) -> None:
    connection = await _connect(own_server.url)

    await asyncio.to_thread(own_server.pause)
    asked = asyncio.create_task(connection.fetchval("SELECT 42"))
    await asyncio.wait([asked], timeout=0.1)

    assert not asked.done()
    await asyncio.to_thread(own_server.resume)
    assert await asked == 42
    await connection.close()


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url)


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
