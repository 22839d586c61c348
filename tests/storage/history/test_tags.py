"""Finding runs by the pairs of their metadata."""

from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select

from llamakeep.domain import Run, User
from llamakeep.errors import RunNotFound
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.database import schema
from llamakeep.storage.database.tables import run_tags, runs
from llamakeep.storage.deletion.traces import SHARED
from llamakeep.storage.history.conversations import HIGHEST
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.stats import Grouping
from tests.storage.running import add_older_user, ended, new_run, older_row, start

LONG = {"k" * 64: "\N{MATHEMATICAL BOLD SMALL V}" * 512}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_url"))


async def prompts(storage: Storage, user: User, *tags: str) -> str:
    found = await storage.history(
        user, matching=RunFilter(tags=tags), oldest_first=True
    )
    return "".join(run.prompt for run in found)


async def kept_tags(storage: Storage) -> int | None:
    query = select(func.count()).select_from(run_tags)
    return await storage._database.read(lambda connection: connection.scalar(query))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (("project",), "12"),
        (("project:one",), "1"),
        (("project:o",), ""),
        (("Project:one",), ""),
        (("project", "draft"), "2"),
        (("project:one", "draft"), ""),
        (("draft:",), "2"),
        (("a:b",), "34"),
        (("a:b:c",), "5"),
        (("%",), ""),
        (("project:one' OR 1=1 --",), ""),
    ],
)
async def test_runs_are_found_by_keys_and_by_keys_with_values(
    storage: Storage, alice: User, bob: User, tags: tuple[str, ...], expected: str
) -> None:
    await start(storage, alice, "0")
    await start(storage, alice, "1", metadata={"project": "one"})
    await start(storage, alice, "2", metadata={"project": "two", "draft": ""})
    await start(storage, alice, "3", metadata={"a": "b"})
    await start(storage, alice, "4", metadata={"a:b": ""})
    await start(storage, alice, "5", metadata={"a": "b:c"})
    await start(storage, bob, "6", metadata={"project": "one", "draft": ""})

    assert await prompts(storage, alice, *tags) == expected


async def test_the_longest_tag_there_may_be_is_found(
    storage: Storage, alice: User
) -> None:
    await start(storage, alice, "1", metadata=LONG)
    [(key, value)] = LONG.items()

    assert await prompts(storage, alice, f"{key}:{value}") == "1"


async def test_tags_narrow_stats_and_deletion_too(
    storage: Storage, alice: User
) -> None:
    for n in range(3):
        run = await start(storage, alice, str(n), metadata={"even": str(n % 2 == 0)})
        await storage.finish(ended(run))
    even = RunFilter(tags=("even:True",))

    [stats], _ = await storage.stats(alice, even, by=[Grouping.MODEL])
    chosen = await storage.find_finished(alice, even, before=HIGHEST, limit=10)
    forgotten = await storage.forget(alice, chosen, SHARED)

    assert (stats.runs, forgotten.deleted) == (2, 2)
    assert await prompts(storage, alice) == "1"


async def test_other_tags_take_the_place_of_the_old_ones(
    storage: Storage, alice: User
) -> None:
    run = await start(storage, alice, "1", metadata={"old": "1", "kept": "x"})

    changed = await storage.set_metadata(alice, run.id, {"new": "2", "kept": "x"})

    assert changed.metadata == {"new": "2", "kept": "x"}
    assert await storage.get_run(alice, run.id) == changed
    assert [await prompts(storage, alice, tag) for tag in ("old", "new", "kept:x")] == [
        "",
        "1",
        "1",
    ]


async def test_nobody_changes_somebody_elses_tags(
    storage: Storage, alice: User, bob: User
) -> None:
    run = await start(storage, alice, metadata={"a": "b"})

    with pytest.raises(RunNotFound):
        await storage.set_metadata(bob, run.id, {})

    assert await storage.get_run(alice, run.id) == run


async def test_tags_go_with_their_run(storage: Storage, alice: User) -> None:
    run = await start(storage, alice, metadata={"a": "b"})

    await storage.delete_run(alice, run.id)

    assert await kept_tags(storage) == 0


async def test_runs_without_tags_leave_the_table_of_tags_alone(
    storage: Storage, alice: User
) -> None:
    await start(storage, alice)

    assert await kept_tags(storage) == 0


def _write_as_version_7(run: Run, connection: Connection) -> None:
    connection.execute(insert(runs).values(older_row(run)))


async def test_runs_of_an_older_version_are_found_by_their_tags(
    empty_url: str,
) -> None:
    async with open_storage(empty_url, migrate=True) as storage:
        for version in ("base", "0007"):
            await storage._database.write(partial(schema.migrate, target=version))
        alice = await add_older_user(storage)
        run = new_run(alice, "1", metadata={"a": "b", "a:b": "", 'q"': "'"})
        await storage._database.write(partial(_write_as_version_7, run))

        await storage.migrate()

        assert await prompts(storage, alice, "a:b", "q\":'") == "1"
        assert await kept_tags(storage) == 5
