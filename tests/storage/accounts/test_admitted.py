"""Who was let in is remembered, and never for longer than it is true."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from llamakeep.credentials.api_keys import issue_api_key
from llamakeep.credentials.tokens import digest
from llamakeep.domain import Actor, User
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.accounts.changes import AccountsEpoch
from llamakeep.storage.database.owner_lock import lock_file

TOKEN, OTHER = b"t" * 32, b"o" * 32
Change = Callable[[Storage, User], Awaitable[object]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept.db"


@asynccontextmanager
async def opened(path: Path, *, is_owner: bool = True) -> AsyncIterator[Storage]:
    async with open_storage(f"sqlite:///{path}", is_owner=is_owner) as storage:
        yield storage


async def let_in(storage: Storage) -> User:
    """Return a user with an access token that is remembered."""
    user = await storage.add_user("alice", None)
    await storage.add_access_token(user, TOKEN, lifetime=timedelta(days=1))
    assert await storage.find_user_by_access_token(TOKEN) == user
    assert is_remembered(storage)
    return user


def is_remembered(storage: Storage, secret: bytes = TOKEN) -> bool:
    return storage._credentials.find(secret) is not None


async def test_whoever_was_let_in_is_remembered_while_only_runs_are_kept(
    path: Path,
) -> None:
    async with opened(path) as storage:
        user = await let_in(storage)

        await storage.add(user, "Hi", "Hello")

        assert is_remembered(storage)


CHANGES: dict[str, Change] = {
    "logout": lambda storage, user: storage.log_out(user, TOKEN, Actor()),
    "disabled": lambda storage, user: storage.change_user(
        user.id, is_disabled=True, actor=Actor()
    ),
    "deleted": lambda storage, user: storage.delete_user(user.id, actor=Actor()),
    "password": lambda storage, user: storage.set_password(user, "x"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_who_may_not_come_in_any_more_is_forgotten_at_once(
    path: Path, change: str
) -> None:
    async with opened(path) as storage:
        user = await let_in(storage)

        await CHANGES[change](storage, user)

        assert await storage.find_user_by_access_token(TOKEN) is None


@pytest.mark.parametrize("change", CHANGES)
async def test_what_another_process_changes_counts_at_once(
    path: Path, change: str
) -> None:
    async with opened(path) as storage, opened(path, is_owner=False) as guest:
        user = await let_in(storage)

        await CHANGES[change](guest, user)

        assert await storage.find_user_by_access_token(TOKEN) is None


async def test_a_key_that_is_revoked_is_forgotten_at_once(path: Path) -> None:
    key, secret = issue_api_key("robot")
    async with opened(path) as storage:
        user = await storage.add_user("alice", None)
        await storage.add_api_key(user, key, digest(secret))
        found = await storage.find_user_by_api_key(digest(secret))
        assert is_remembered(storage, digest(secret))

        await storage.revoke_api_key(user, key.id)

        assert found is not None
        assert found.api_key == key
        assert await storage.find_user_by_api_key(digest(secret)) is None


async def test_an_access_token_that_expires_is_not_remembered_longer(
    path: Path,
) -> None:
    async with opened(path) as storage:
        user = await storage.add_user("alice", None)
        await storage.add_access_token(user, TOKEN, lifetime=timedelta(seconds=0.2))
        assert await storage.find_user_by_access_token(TOKEN) == user

        await asyncio.sleep(0.2)

        assert await storage.find_user_by_access_token(TOKEN) is None


async def test_a_change_that_is_taken_back_changes_nothing(path: Path) -> None:
    async with opened(path) as storage:
        user = await let_in(storage)

        with pytest.raises(ZeroDivisionError):
            await storage._database.write(
                lambda connection: (
                    connection.exec_driver_sql("UPDATE users SET role = 'admin'"),
                    1 / 0,
                )
            )

        assert await storage.find_user_by_access_token(TOKEN) == user
        assert is_remembered(storage)


async def test_a_process_that_dies_during_a_change_leaves_nobody_remembered(
    path: Path,
) -> None:
    async with opened(path) as storage:
        await let_in(storage)
        dying = AccountsEpoch(lock_file(path))
        dying.begin()
        dying.close()

        await storage.find_user_by_access_token(TOKEN)
        was_remembered = is_remembered(storage)
        await storage.add_user("bob", None)
        await storage.find_user_by_access_token(TOKEN)

        assert not was_remembered
        assert is_remembered(storage)


def test_what_one_process_says_undoes_nothing_of_another(tmp_path: Path) -> None:
    one, other, reader = (AccountsEpoch(tmp_path / "x.lock") for _ in range(3))
    reader.watch(lambda _: [("users",), ("access_tokens",), ("api_keys",)])

    one.begin()
    other.begin()  # between the commit of the one, and its end
    one.end()
    during = reader.version
    other.end()

    assert during is None
    assert reader.version is not None


def spoil(file: Path, way: str) -> None:
    if way == "emptied":
        file.write_bytes(b"")
    else:
        file.unlink()
    if way == "replaced":
        file.touch()


@pytest.mark.parametrize("way", ["removed", "replaced", "emptied"])
async def test_without_the_lock_file_everybody_is_looked_up(
    path: Path, way: str
) -> None:
    async with opened(path) as storage:
        user = await let_in(storage)
        await asyncio.to_thread(spoil, lock_file(path), way)

        async with opened(path, is_owner=False) as guest:
            await guest.change_user(user.id, is_disabled=True, actor=Actor())

        assert await storage.find_user_by_access_token(TOKEN) is None


async def test_a_new_owner_does_not_take_away_what_guests_have_in_memory(
    path: Path,
) -> None:
    async with opened(path) as storage:
        await let_in(storage)
    async with opened(path, is_owner=False) as guest, opened(path) as storage:
        user = await storage.find_user_by_access_token(TOKEN)
        assert user is not None

        await guest.log_out(user, TOKEN, Actor())

        assert await storage.find_user_by_access_token(TOKEN) is None


async def test_on_a_shared_database_whoever_comes_in_is_looked_up(
    postgres_url: str,
) -> None:
    async with open_storage(postgres_url, migrate=True) as storage:
        user = await storage.add_user("alice", None)
        await storage.add_access_token(user, TOKEN, lifetime=timedelta(days=1))

        assert await storage.find_user_by_access_token(TOKEN) == user
        assert not is_remembered(storage)


async def test_using_a_key_makes_nobody_be_looked_up_again(path: Path) -> None:
    async with opened(path) as storage:
        user = await let_in(storage)
        key, _ = issue_api_key("a key")
        await storage.add_api_key(user, key, OTHER)
        await storage.find_user_by_access_token(TOKEN)
        before = storage.commits

        for _ in range(5):
            await storage.note_use(key)
        await storage.set_retention(user.id, 30, actor=Actor())

        assert is_remembered(storage)
        # The use was written once.
        assert storage.commits is not None
        assert before is not None
        assert storage.commits - before == 2
        assert (await storage.get_api_key(user, key.id)).last_used_at is not None
