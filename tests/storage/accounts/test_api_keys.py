from dataclasses import replace
from datetime import timedelta

import pytest

from llamakeep.domain import Actor, ApiKey, Scope, User, new_id, utc_now
from llamakeep.errors import ApiKeyNotFound, TooManyApiKeys
from llamakeep.storage import Storage
from llamakeep.storage.accounts.api_keys import MOST_API_KEYS

DIGEST, OTHER_DIGEST = b"1" * 32, b"2" * 32


def new_key(**facts: object) -> ApiKey:
    key = ApiKey(
        id=new_id("key_"),
        name="laptop",
        hint="wxyz",
        scopes=frozenset({Scope.PROMPT, Scope.HISTORY}),
        models=frozenset({"scripted:parrot"}),
        created_at=utc_now(),
        expires_at=None,
        last_used_at=None,
    )
    return replace(key, **facts)  # type: ignore[arg-type] # facts of a key


async def test_a_key_lets_its_user_in_with_all_that_is_known_of_it(
    storage: Storage, alice: User
) -> None:
    key = new_key(expires_at=utc_now() + timedelta(days=1))

    await storage.add_api_key(alice, key, DIGEST)

    assert await storage.find_user_by_api_key(DIGEST) == replace(alice, api_key=key)
    assert await storage.list_api_keys(alice) == [key]
    assert await storage.get_api_key(alice, key.id) == key


async def test_a_digest_that_is_no_keys_lets_nobody_in(
    storage: Storage, alice: User
) -> None:
    await storage.add_api_key(alice, new_key(), DIGEST)

    assert await storage.find_user_by_api_key(OTHER_DIGEST) is None


async def test_an_expired_key_lets_nobody_in_and_is_not_listed(
    storage: Storage, alice: User
) -> None:
    key = new_key(expires_at=utc_now() - timedelta(seconds=1))

    await storage.add_api_key(alice, key, DIGEST)

    assert await storage.find_user_by_api_key(DIGEST) is None
    assert await storage.list_api_keys(alice) == []
    with pytest.raises(ApiKeyNotFound):
        await storage.get_api_key(alice, key.id)


async def test_a_disabled_users_key_lets_nobody_in_until_they_are_enabled(
    storage: Storage, alice: User
) -> None:
    await storage.add_api_key(alice, new_key(), DIGEST)

    await storage.change_user(alice.id, is_disabled=True, actor=Actor())
    while_disabled = await storage.find_user_by_api_key(DIGEST)
    await storage.change_user(alice.id, is_disabled=False, actor=Actor())

    assert while_disabled is None
    assert await storage.find_user_by_api_key(DIGEST) is not None


async def test_a_revoked_key_lets_nobody_in(storage: Storage, alice: User) -> None:
    key = new_key()
    await storage.add_api_key(alice, key, DIGEST)

    await storage.revoke_api_key(alice, key.id)

    assert await storage.find_user_by_api_key(DIGEST) is None
    with pytest.raises(ApiKeyNotFound):
        await storage.revoke_api_key(alice, key.id)


async def test_nobody_sees_or_revokes_another_ones_key(
    storage: Storage, alice: User, bob: User
) -> None:
    key = new_key()
    await storage.add_api_key(alice, key, DIGEST)

    for attempt in (storage.get_api_key, storage.revoke_api_key):
        with pytest.raises(ApiKeyNotFound):
            await attempt(bob, key.id)

    assert await storage.list_api_keys(bob) == []
    assert await storage.list_api_keys(alice) == [key]


async def test_both_keys_let_in_while_they_overlap(
    storage: Storage, alice: User
) -> None:
    old, new = new_key(), new_key(name="laptop")
    await storage.add_api_key(alice, old, DIGEST)

    await storage.replace_api_key(
        alice, old.id, new, OTHER_DIGEST, overlap=timedelta(hours=1)
    )

    assert await storage.find_user_by_api_key(DIGEST) is not None
    assert await storage.find_user_by_api_key(OTHER_DIGEST) is not None
    newest, rotated = await storage.list_api_keys(alice)
    assert (newest, rotated.id, rotated.name) == (new, old.id, "laptop (rotated)")
    assert rotated.expires_at is not None


async def test_without_overlap_the_old_key_ends_at_once(
    storage: Storage, alice: User
) -> None:
    old = new_key()
    await storage.add_api_key(alice, old, DIGEST)

    await storage.replace_api_key(
        alice, old.id, new_key(), OTHER_DIGEST, overlap=timedelta()
    )

    assert await storage.find_user_by_api_key(DIGEST) is None


async def test_rotating_another_ones_key_changes_nothing(
    storage: Storage, alice: User, bob: User
) -> None:
    key = new_key()
    await storage.add_api_key(alice, key, DIGEST)

    with pytest.raises(ApiKeyNotFound):
        await storage.replace_api_key(
            bob, key.id, new_key(), OTHER_DIGEST, overlap=timedelta()
        )

    assert await storage.list_api_keys(alice) == [key]
    assert await storage.list_api_keys(bob) == []


async def test_the_last_use_is_noted(storage: Storage, alice: User) -> None:
    key = new_key()
    await storage.add_api_key(alice, key, DIGEST)

    await storage.note_use(key)

    assert (await storage.get_api_key(alice, key.id)).last_used_at is not None


async def test_there_is_an_end_to_keys_and_expired_ones_do_not_count(
    storage: Storage, alice: User
) -> None:
    gone = new_key(expires_at=utc_now() - timedelta(seconds=1))
    await storage.add_api_key(alice, gone, b"gone".ljust(32))
    for number in range(MOST_API_KEYS):
        await storage.add_api_key(alice, new_key(), str(number).encode().ljust(32))

    with pytest.raises(TooManyApiKeys):
        await storage.add_api_key(alice, new_key(), DIGEST)

    assert len(await storage.list_api_keys(alice)) == MOST_API_KEYS
