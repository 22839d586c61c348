from datetime import timedelta

import pytest

from llamakeep.domain import Actor, User, utc_now
from llamakeep.errors import InvalidRequest, LoginNotFound
from llamakeep.storage import Storage

DIGEST = b"d" * 32
A_DAY = timedelta(days=1)


async def test_a_username_is_taken_whatever_its_case(
    storage: Storage, alice: User
) -> None:
    with pytest.raises(InvalidRequest, match="ALICE"):
        await storage.add_user("ALICE", None)

    assert await storage.list_users() == [alice]


async def test_a_user_is_found_whatever_the_case_of_the_name(
    storage: Storage, alice: User
) -> None:
    found = await storage.find_credentials("aLiCe")

    assert found is not None
    assert found.user == alice
    assert found.password_hash == "hash of alice's password"


async def test_a_name_may_grow_when_its_case_is_taken_away(storage: Storage) -> None:
    longest = "\N{GREEK SMALL LETTER IOTA WITH DIALYTIKA AND TONOS}" * 64

    user = await storage.add_user(longest, None)

    assert await storage.list_users() == [user]


async def test_nobody_is_found_by_a_name_that_nobody_has(storage: Storage) -> None:
    assert await storage.find_credentials("nobody") is None


async def test_users_are_listed_by_name(
    storage: Storage, bob: User, alice: User
) -> None:
    assert await storage.list_users() == [alice, bob]


async def test_an_access_token_lets_its_user_in_and_nobody_else(
    storage: Storage, alice: User, bob: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)
    await storage.add_access_token(bob, b"b" * 32, lifetime=A_DAY)

    assert await storage.find_user_by_access_token(DIGEST) == alice
    assert await storage.find_user_by_access_token(b"b" * 32) == bob
    assert await storage.find_user_by_access_token(b"x" * 32) is None


async def test_an_expired_access_token_lets_nobody_in(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=timedelta(0))

    assert await storage.find_user_by_access_token(DIGEST) is None


async def test_a_new_login_leaves_the_others_alone(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)

    await storage.add_access_token(alice, b"b" * 32, lifetime=A_DAY)

    assert await storage.find_user_by_access_token(DIGEST) == alice


async def test_the_same_access_token_can_be_handed_out_again(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=timedelta(0))

    expires_at = await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)

    assert await storage.find_user_by_access_token(DIGEST) == alice
    assert expires_at > alice.created_at


async def test_a_revoked_access_token_lets_nobody_in(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)

    await storage.log_out(alice, DIGEST, Actor())

    assert await storage.find_user_by_access_token(DIGEST) is None


async def test_disabling_a_user_ends_the_logins_of_that_user_only(
    storage: Storage, alice: User, bob: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)
    await storage.add_access_token(bob, b"b" * 32, lifetime=A_DAY)

    await storage.change_user(alice.id, is_disabled=True, actor=Actor())

    assert await storage.find_user_by_access_token(DIGEST) is None
    assert await storage.find_user_by_access_token(b"b" * 32) == bob
    found = await storage.find_credentials("alice")
    assert found is not None
    assert found.user.disabled_at is not None


async def test_an_enabled_user_has_to_log_in_again(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)
    await storage.change_user(alice.id, is_disabled=True, actor=Actor())

    await storage.change_user(alice.id, is_disabled=False, actor=Actor())

    assert await storage.find_user_by_access_token(DIGEST) is None
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)
    assert await storage.find_user_by_access_token(DIGEST) == alice


async def test_a_login_that_races_with_being_disabled_lets_nobody_in(
    storage: Storage, alice: User
) -> None:
    await storage.change_user(alice.id, is_disabled=True, actor=Actor())

    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)

    assert await storage.find_user_by_access_token(DIGEST) is None


async def test_a_new_password_ends_every_login_made_with_the_old_one(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)

    await storage.set_password(alice, "new hash")

    assert await storage.find_user_by_access_token(DIGEST) is None
    found = await storage.find_credentials("alice")
    assert found is not None
    assert found.password_hash == "new hash"


async def test_a_rehash_keeps_the_logins(storage: Storage, alice: User) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)

    await storage.rehash_password(alice, "hash of alice's password", "stronger hash")

    found = await storage.find_credentials("alice")
    assert found is not None
    assert found.password_hash == "stronger hash"
    assert await storage.find_user_by_access_token(DIGEST) == alice


async def test_a_rehash_that_comes_after_a_new_password_changes_nothing(
    storage: Storage, alice: User
) -> None:
    await storage.set_password(alice, "new hash")

    await storage.rehash_password(alice, "hash of alice's password", "stronger hash")

    found = await storage.find_credentials("alice")
    assert found is not None
    assert found.password_hash == "new hash"


async def test_a_login_is_renewed_once_a_part_of_its_life_is_over(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)
    young = await storage.renew_login(DIGEST, A_DAY)
    await storage.add_access_token(alice, b"o" * 32, lifetime=A_DAY / 2)

    first = await storage.renew_login(b"o" * 32, A_DAY)
    again = await storage.renew_login(b"o" * 32, A_DAY)

    assert (young, first, again) == (False, True, False)


async def test_a_login_that_is_over_or_unknown_is_not_renewed(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=timedelta(0))

    renewed = [await storage.renew_login(each, A_DAY) for each in (DIGEST, b"x" * 32)]

    assert renewed == [False, False]
    assert await storage.find_user_by_access_token(DIGEST) is None


async def test_a_clock_that_may_be_wrong_renews_no_login(
    storage: Storage, alice: User
) -> None:
    now = utc_now()
    await storage.believe_clock(now - timedelta(days=30))
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY / 2)

    assert await storage.renew_login(DIGEST, A_DAY) is False


async def test_the_login_that_was_used_last_is_listed_first(
    storage: Storage, alice: User, bob: User
) -> None:
    actor = Actor(address="203.0.113.5", user_agent="Firefox")
    for digest, is_cookie in ((b"c" * 32, True), (b"t" * 32, False)):
        await storage.add_access_token(
            alice, digest, lifetime=A_DAY, is_cookie=is_cookie, actor=actor
        )
    await storage.add_access_token(bob, b"b" * 32, lifetime=A_DAY)
    await storage.add_access_token(alice, b"o" * 32, lifetime=timedelta(0))
    await storage.renew_login(b"c" * 32, A_DAY)

    cookie, token = await storage.list_logins(alice)

    assert (cookie.is_cookie, token.is_cookie) == (True, False)
    assert cookie.last_used_at is not None
    assert token.last_used_at is None
    assert (token.address, token.user_agent) == ("203.0.113.5", "Firefox")


async def test_a_user_ends_no_login_of_another_one(
    storage: Storage, alice: User, bob: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)
    [login] = await storage.list_logins(alice)

    with pytest.raises(LoginNotFound):
        await storage.end_login(bob, login.id, Actor(user=bob))
    assert await storage.find_user_by_access_token(DIGEST) == alice
    await storage.end_login(alice, login.id, Actor(user=alice))

    assert await storage.find_user_by_access_token(DIGEST) is None
    assert await storage.list_logins(alice) == []


async def test_what_a_user_may_ask_counts_at_once_and_is_taken_back(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, DIGEST, lifetime=A_DAY)
    found = [await storage.find_user_by_access_token(DIGEST)]
    for models in (frozenset({"one:*", "fast"}), None):
        await storage.set_models(alice.id, models, actor=Actor())
        found.append(await storage.find_user_by_access_token(DIGEST))

    kept = [each.models for each in found if each is not None]
    assert kept == [None, {"one:*", "fast"}, None]
