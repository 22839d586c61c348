"""Invitations in both databases."""

import asyncio

from llamakeep.credentials.invitations import issue_invitation
from llamakeep.credentials.tokens import digest
from llamakeep.domain import Actor, Limits, User, UserRole
from llamakeep.errors import InvitationRefused
from llamakeep.storage import Storage


async def test_of_many_requests_with_one_invitation_one_creates_a_user(
    storage: Storage,
) -> None:
    invitation, token = issue_invitation(
        role=UserRole.ADMIN, limits=Limits(tokens_per_day=5)
    )
    await storage.add_invitation(invitation, digest(token), actor=Actor())

    def accept(name: str) -> asyncio.Future[User]:
        return asyncio.ensure_future(
            storage.accept_invitation(digest(token), name, "a hash", actor=Actor())
        )

    outcomes = await asyncio.gather(
        *(accept(f"dora-{number}") for number in range(5)), return_exceptions=True
    )

    [created] = [one for one in outcomes if isinstance(one, User)]
    assert sum(isinstance(one, InvitationRefused) for one in outcomes) == 4
    assert await storage.list_users() == [created]
    assert (created.role, created.limits) == (UserRole.ADMIN, Limits(tokens_per_day=5))
    assert await storage.list_invitations() == []


async def test_a_sign_in_and_a_password_do_not_both_use_an_invitation(
    storage: Storage,
) -> None:
    invitation, token = issue_invitation()
    await storage.add_invitation(invitation, digest(token), actor=Actor())

    outcomes = await asyncio.gather(
        storage.accept_invitation(digest(token), "dora", "a hash", actor=Actor()),
        storage.user_of_identity(
            "https://login.example",
            "1234",
            name="dora",
            role=None,
            invitation=digest(token),
            actor=Actor(),
        ),
        return_exceptions=True,
    )

    [created] = [one for one in outcomes if isinstance(one, User)]
    assert await storage.list_users() == [created]
