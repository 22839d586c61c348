"""Deleting what is too old, when a person says so."""

import asyncio
from datetime import timedelta

import pytest

from llamakeep.domain import utc_now
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from tests.cli.conftest import Type


@pytest.fixture
def old_runs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a new and an old run, under a clock that is far ahead of its last look."""
    monkeypatch.setenv("LLAMAKEEP_RETENTION_DAYS", "30")

    async def keep() -> None:
        async with open_storage(settings.database_url) as storage:
            alice = await storage.add_user("alice", None)
            for days in (0, 40):
                at = utc_now() - timedelta(days=days)
                await storage.add(alice, f"{days} days old", "", created_at=at)
            await storage.believe_clock(utc_now() - timedelta(days=400))

    asyncio.run(keep())


@pytest.mark.usefixtures("old_runs")
def test_a_person_has_old_runs_deleted_that_a_server_held_back(typed: Type) -> None:
    done = typed("apply-retention", stdin="y\n")

    assert done.exit_code == 0, done.output
    assert "Delete 1 runs that are too old" in done.stderr
    assert done.stdout.endswith("1 runs are deleted.\n")
    assert "40 days old" not in typed("history", "list", "--user", "alice").output


@pytest.mark.usefixtures("old_runs")
def test_nothing_is_deleted_when_a_person_says_no(typed: Type) -> None:
    done = typed("apply-retention", stdin="n\n")

    assert done.exit_code == 1
    assert typed("apply-retention", "--yes").stdout == "1 runs are deleted.\n"
