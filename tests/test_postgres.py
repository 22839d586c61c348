import os
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.postgres import new_database, running_postgres


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


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url)


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
