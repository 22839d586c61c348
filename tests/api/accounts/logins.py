"""Logging in with a password, which users of a demo need not do."""

from datetime import timedelta

import httpx2

from llamakeep.credentials.passwords import Passwords
from llamakeep.credentials.tokens import digest
from llamakeep.domain import utc_now
from llamakeep.storage.accounts.tables import access_tokens
from tests.api.serving import Client

CAROL = {"username": "carol", "password": "correct horse battery"}
OWN = {"Origin": "http://test"}
DAY = timedelta(days=1)


async def enrol(client: Client) -> None:
    """Add carol; requests carry from then on what a test gives them alone."""
    del client.headers["authorization"]
    passwords = client.services.passwords
    assert isinstance(passwords, Passwords)
    await client.storage.add_user(
        CAROL["username"], await passwords.hash(CAROL["password"])
    )


async def log_in(client: Client, **headers: str) -> httpx2.Response:
    """Log carol in by a cookie."""
    response = await client.post(
        "/login/cookie/", json=CAROL, headers={**OWN, **headers}
    )
    client.cookies.clear()
    return response


def cookie_of(response: httpx2.Response) -> dict[str, str]:
    """Return the header with which a browser sends the cookie of a response."""
    pair, *_ = response.headers["set-cookie"].split(";")
    return {"Cookie": pair}


async def grow_old(client: Client, cookie: dict[str, str], left: timedelta) -> None:
    """Let a login have so much of its life left, as if the rest were over."""
    token = cookie["Cookie"].partition("=")[2]
    query = (
        access_tokens.update()
        .where(access_tokens.c.digest == digest(token))
        .values(expires_at=utc_now() + left)
    )
    await client.storage._database.write(lambda c: c.execute(query).close())
