"""Managing what lets users' programs in."""

import asyncio
import os

import pytest

from llamakeep.credentials.tokens import digest, is_api_key, is_well_formed
from llamakeep.domain import Scope, User
from llamakeep.storage import open_storage
from tests.cli.conftest import Type


@pytest.fixture(autouse=True)
def carol(typed: Type) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")


def let_in(secret: str) -> User | None:
    async def ask() -> User | None:
        url = os.environ["LLAMAKEEP_DATABASE_URL"]
        async with open_storage(url, is_owner=False) as storage:
            return await storage.find_user_by_api_key(digest(secret))

    return asyncio.run(ask())


def test_a_new_key_is_all_that_is_printed_and_lets_its_user_in(typed: Type) -> None:
    added = typed("key", "add", "carol", "robot", "--scope", "prompt", "--days", "7")

    secret = added.stdout.strip()
    assert is_well_formed(secret)
    assert is_api_key(secret)
    user = let_in(secret)
    assert user is not None
    assert user.api_key is not None
    assert (user.username, set(user.api_key.scopes)) == ("carol", {Scope.PROMPT})
    assert user.api_key.expires_at is not None


def test_keys_are_listed_without_their_secrets(typed: Type) -> None:
    secret = typed("key", "add", "carol", "robot", "--model", "a:b").stdout.strip()

    listed = typed("key", "list", "carol").stdout

    assert secret not in listed
    assert f"\trobot\t{secret[-4:]}\thistory,prompt\ta:b\tnever\tnever\n" in listed


def test_a_revoked_key_lets_nobody_in(typed: Type) -> None:
    secret = typed("key", "add", "carol", "robot").stdout.strip()
    key_id = typed("key", "list", "carol").stdout.split("\t")[0]

    revoked = typed("key", "revoke", "carol", key_id)

    assert revoked.exit_code == 0
    assert let_in(secret) is None
    assert typed("key", "revoke", "carol", key_id).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "robot"), "There is no user 'nobody'"),
        (("carol", " "), "1 to 64 characters"),
        (("carol", "robot", "--scope", "king"), "There is no scope 'king'"),
        (("carol", "robot", "--scope", "admin"), "carol is no administrator"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    typed: Type, arguments: tuple[str, ...], said: str
) -> None:
    added = typed("key", "add", *arguments)

    assert added.exit_code == 1
    assert said in added.stderr
    assert typed("key", "list", "carol").stdout == ""


@pytest.mark.parametrize(("options", "keeps"), [([], True), (["--no-keep"], False)])
def test_a_key_may_keep_no_texts(typed: Type, options: list[str], keeps: bool) -> None:
    secret = typed("key", "add", "carol", "robot", *options).stdout.strip()

    user = let_in(secret)

    assert user is not None
    assert user.api_key is not None
    assert user.api_key.keeps is keeps
