"""Inviting people from the command line."""

import asyncio

import pytest

from llamakeep.credentials.tokens import digest, is_well_formed
from llamakeep.domain import Actor, Limits, UserRole
from llamakeep.errors import InvitationRefused
from llamakeep.storage import open_storage
from tests.cli.conftest import Type


def test_a_link_is_all_that_is_printed_and_makes_an_account(
    typed: Type, sqlite_url: str
) -> None:
    limits = '{"tokens_per_day": 100}'
    models = ("--model", "own:*", "--model", "fast")
    options = ("--admin", "--limits", limits, *models)
    added = typed("invitation", "add", "dora@example.com", *options)

    link, _, token = added.stdout.strip().partition("#")
    assert link == "http://127.0.0.1:8000/join"
    assert is_well_formed(token)
    listed = typed("invitation", "list").stdout
    assert listed.startswith("inv_")
    assert listed.endswith("\ttokens_per_day=100\tfast,own:*\tdora@example.com\n")
    assert token not in listed

    async def accept() -> None:
        async with open_storage(sqlite_url) as storage:
            user = await storage.accept_invitation(
                digest(token), "dora", "a hash", actor=Actor()
            )
            assert user.role is UserRole.ADMIN
            assert user.limits == Limits(tokens_per_day=100)
            assert user.models == frozenset({"fast", "own:*"})

    asyncio.run(accept())
    assert typed("invitation", "list").stdout == ""


def test_a_revoked_invitation_is_gone(typed: Type, sqlite_url: str) -> None:
    token = typed("invitation", "add").stdout.strip().partition("#")[2]
    invitation_id = typed("invitation", "list").stdout.split("\t")[0]

    revoked = typed("invitation", "revoke", invitation_id)

    async def check() -> None:
        async with open_storage(sqlite_url) as storage:
            with pytest.raises(InvitationRefused):
                await storage.check_invitation(digest(token))

    asyncio.run(check())
    assert revoked.exit_code == 0
    assert typed("invitation", "revoke", invitation_id).exit_code == 1


@pytest.mark.parametrize("limits", ["{", '{"tokens": 1}', '{"tokens_per_day": -1}'])
def test_limits_that_are_none_make_no_invitation(typed: Type, limits: str) -> None:
    added = typed("invitation", "add", "--limits", limits)

    assert added.exit_code == 2
    assert "--limits" in added.stderr
    assert typed("invitation", "list").stdout == ""
