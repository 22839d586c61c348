"""Login codes in both databases."""

import asyncio
from datetime import datetime, timedelta

import pytest

from llamakeep.credentials.tokens import digest
from llamakeep.domain import Actor, User
from llamakeep.errors import LoginCodeRefused
from llamakeep.storage import Storage

HOUR = timedelta(hours=1)


async def give_code(storage: Storage, user: User) -> None:
    await storage.add_access_token(user, digest("browser"), lifetime=HOUR)
    await storage.add_login_code(
        user,
        digest("code"),
        challenge="c" * 64,
        name="laptop",
        lifetime=HOUR,
        login=digest("browser"),
        longest=HOUR,
        actor=Actor(),
    )


async def use_code(storage: Storage, access_token: str) -> datetime:
    return await storage.use_login_code(
        digest("code"),
        challenge="c" * 64,
        access_token=digest(access_token),
        actor=Actor(),
    )


async def test_of_many_requests_with_one_code_one_is_logged_in(
    storage: Storage, alice: User
) -> None:
    await give_code(storage, alice)

    outcomes = await asyncio.gather(
        *(use_code(storage, f"terminal-{number}") for number in range(5)),
        return_exceptions=True,
    )

    assert sum(isinstance(one, datetime) for one in outcomes) == 1
    assert sum(isinstance(one, LoginCodeRefused) for one in outcomes) == 4
    assert len(await storage.list_logins(alice)) == 2


async def test_a_login_that_was_ended_leaves_no_code_behind(
    storage: Storage, alice: User
) -> None:
    await give_code(storage, alice)
    [browser] = await storage.list_logins(alice)

    await storage.end_login(alice, browser.id, Actor())

    with pytest.raises(LoginCodeRefused):
        await use_code(storage, "terminal")


async def test_logging_out_leaves_no_code_behind(storage: Storage, alice: User) -> None:
    await give_code(storage, alice)

    await storage.log_out(alice, digest("browser"), Actor())

    with pytest.raises(LoginCodeRefused):
        await use_code(storage, "terminal")


async def test_use_does_not_extend_a_login_by_code(
    storage: Storage, alice: User
) -> None:
    await give_code(storage, alice)
    ends_at = await use_code(storage, "terminal")

    # As if it were sent in a cookie, where logins are extended by their use.
    assert not await storage.renew_login(digest("terminal"), timedelta(days=30))

    logins = await storage.list_logins(alice)
    assert ends_at in {login.expires_at for login in logins}
    assert max(login.expires_at for login in logins) < ends_at + HOUR
