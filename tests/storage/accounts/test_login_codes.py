"""Login codes in both databases."""

import asyncio
from datetime import datetime, timedelta

from llamakeep.credentials.tokens import digest
from llamakeep.domain import Actor, User
from llamakeep.errors import LoginCodeRefused
from llamakeep.storage import Storage

HOUR = timedelta(hours=1)


async def test_of_many_requests_with_one_code_one_is_logged_in(
    storage: Storage, alice: User
) -> None:
    await storage.add_access_token(alice, digest("browser"), lifetime=HOUR)
    await storage.add_login_code(
        alice,
        digest("code"),
        challenge="c" * 64,
        name="laptop",
        lifetime=HOUR,
        login=digest("browser"),
        longest=HOUR,
        actor=Actor(),
    )

    outcomes = await asyncio.gather(
        *(
            storage.use_login_code(
                digest("code"),
                challenge="c" * 64,
                access_token=digest(f"terminal-{number}"),
                actor=Actor(),
            )
            for number in range(5)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(one, datetime) for one in outcomes) == 1
    assert sum(isinstance(one, LoginCodeRefused) for one in outcomes) == 4
    assert len(await storage.list_logins(alice)) == 2
