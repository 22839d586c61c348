"""A server with users of every kind, and all credentials that are good for nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from llamakeep.credentials.api_keys import issue_api_key
from llamakeep.credentials.invitations import issue_invitation
from llamakeep.credentials.passwords import hash_password
from llamakeep.credentials.tokens import digest, new_access_token, new_api_key
from llamakeep.domain import Actor, Scope, User, UserRole, new_id, utc_now
from llamakeep.storage.runs.images import add_images
from tests.api.accounts.identity_provider import Browser, IdentityProvider
from tests.api.accounts.logins import cookie_of
from tests.api.doors import PASSWORD, Call, Things, request_of
from tests.api.serving import Client
from tests.fakes import CountingProvider, EmbeddingProvider
from tests.images import image, png
from tests.waiting import LONG_ENOUGH

Headers = dict[str, str]
PROXY_HEADER = "Remote-User"
PASSWORD_HASH = hash_password(PASSWORD)
ADDRESS = "test"
ELSEWHERE = "203.0.113.5"
OWN_PAGE = {"Origin": f"http://{ADDRESS}"}


@dataclass(frozen=True)
class Holder:
    """A user, what is theirs, and a login of theirs."""

    user: User
    things: Things
    login: Headers


@dataclass(frozen=True)
class World:
    """A server, somebody with something to lose, and those who are after it."""

    client: Client
    """On the address of a trusted proxy."""
    elsewhere: Client
    """On another one."""
    carol: Holder
    """An administrator."""
    strangers: Mapping[str, Holder]
    """Users, by the way in which they are authenticated."""
    refused: dict[str, tuple[Headers, Things]]
    """What does not let in any more, or never did, and what it is tried at."""

    async def database(self) -> dict[str, Any]:
        """Return all that is kept, once nothing is left to be done about it."""
        while await self.client.storage.index_finished():
            pass
        return await self.client.storage._database.read(_rows)

    async def seen(
        self, stranger: Holder, route: str, call: Call, things: Things
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return all that a stranger can tell apart, but for the ids that they sent."""
        request = request_of(route, things, call)
        request["headers"] |= stranger.login
        response = await self.client.request(**request)
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name != "x-request-id"
        ]
        return response.status_code, headers, things.anonymous(response.content)

    async def send(
        self,
        route: str,
        headers: Headers,
        things: Things,
        *,
        client: Client | None = None,
    ) -> int:
        """Return the status that a request is answered with."""
        client = client or self.client
        request = request_of(route, things)
        request["headers"] |= headers
        response = await client.request(**request)
        client.cookies.clear()
        return response.status_code


def _rows(connection: Connection) -> dict[str, Any]:
    tables = connection.exec_driver_sql(
        "SELECT name FROM sqlite_schema WHERE type = 'table'"
        " AND sql NOT LIKE 'CREATE VIRTUAL%'"
    ).scalars()
    found: dict[str, Any] = {
        name: connection.exec_driver_sql(f'SELECT * FROM "{name}"').mappings().all()
        for name in tables.all()
    }
    # When a key was last used is written now and then.
    found["api_keys"] = [
        {name: value for name, value in row.items() if name != "last_used_at"}
        for row in found["api_keys"]
    ]
    return found


def bearer(secret: str) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


def in_cookie(login: Headers) -> Headers:
    """Return the headers with which a browser sends a login that it keeps."""
    digits = sha256(ADDRESS.encode()).hexdigest()[:12]
    secret = login["Authorization"].removeprefix("Bearer ")
    return {"Cookie": f"llamakeep-{digits}={secret}"}


async def settle(
    client: Client, name: str, role: UserRole, *, is_going_on: bool = False
) -> Holder:
    """Create a user who has one of everything."""
    storage = client.storage
    user = await storage.add_user(name, PASSWORD_HASH, role=role)
    login = await client.let_in(user, lifetime=7 * 24 * 3600)  # it is not renewed
    return await furnish(client, user, login, is_going_on=is_going_on)


async def furnish(
    client: Client, user: User, login: Headers, *, is_going_on: bool = False
) -> Holder:
    """Give a user one of everything."""
    storage, name = client.storage, user.username
    victim = await storage.add_user(f"{name}-junior", None)
    body = {"prompt": "What nobody else may know", "background": is_going_on}
    answer = (await client.post("/prompt/", json=body, headers=login)).json()
    run = await storage.get_run(user, answer["id"])
    showing = replace(run, images=[image(png())])
    await storage._database.write(lambda c: add_images(c, [showing]))
    added = await client.post(
        f"/v1/conversations/{answer['conversation_id']}/items",
        json={"items": [{"role": "user", "content": "Nor this"}]},
        headers=login,
    )
    key, secret = issue_api_key("robot")
    await storage.add_api_key(user, key, digest(secret))
    logins = await storage.list_logins(user)
    service = await storage.add_user(f"{name}-service", None, is_service=True)
    service_key, secret = issue_api_key("robot")
    await storage.add_api_key(service, service_key, digest(secret))
    invitation, token = issue_invitation()
    await storage.add_invitation(invitation, digest(token), actor=Actor())
    things = Things(
        run_id=answer["id"],
        conversation_id=answer["conversation_id"],
        item_id=added.json()["data"][0]["id"],
        key_id=key.id,
        login_id=logins[0].id if logins else new_id("login_"),
        user_id=victim.id,
        service_id=service.id,
        service_key_id=service_key.id,
        invitation_id=invitation.id,
    )
    return Holder(user, things, login)


async def strangers(client: Client, provider: IdentityProvider) -> dict[str, Holder]:
    """Return a user of each kind."""
    by_password = await settle(client, "mallory", UserRole.USER)
    browser = Browser(client, provider)
    me = await browser.me(await browser.sign_in(preferred_username="mallet"))
    by_provider = await client.storage.get_user(me["id"])
    provided = bearer_of(me["cookie"])
    came = await client.get("/login/proxy/", headers={PROXY_HEADER: "marvin"})
    proxied = bearer_of(cookie_of(came)["Cookie"])
    client.cookies.clear()
    found = await client.storage.find_credentials("marvin")
    assert found is not None
    service = await client.storage.add_user("mechanic", None, is_service=True)
    _, key = await give_key(client, service)
    return {
        "password": by_password,
        "identity provider": await furnish(client, by_provider, provided),
        "proxy": await furnish(client, found.user, proxied),
        "service account": await furnish(client, service, key),
    }


def bearer_of(cookie: str) -> Headers:
    """Return the access token in a cookie, in the other header."""
    return bearer(cookie.partition("=")[2])


async def give_key(client: Client, user: User, **facts: Any) -> tuple[str, Headers]:
    """Make an API key with all scopes or some; return its id and what it sends."""
    facts = {"scopes": list(Scope)} | facts
    key, secret = issue_api_key("robot", **facts)
    await client.storage.add_api_key(user, key, digest(secret))
    return key.id, bearer(secret)


async def discredit(
    client: Client, carol: Holder, dave: Holder
) -> dict[str, tuple[Headers, Things]]:
    """Return every kind of credential that is good for nothing."""
    storage = client.storage
    logged_out, ended = new_access_token(), new_access_token()
    hour = timedelta(hours=1)
    await storage.add_access_token(carol.user, digest(logged_out), lifetime=hour)
    await storage.log_out(carol.user, digest(logged_out), Actor())
    await storage.add_access_token(carol.user, digest(ended), lifetime=timedelta(0))
    revoked_id, revoked = await give_key(client, carol.user)
    await storage.revoke_api_key(carol.user, revoked_id)
    _, daves_key = await give_key(client, dave.user)
    _, carols_key = await give_key(client, carol.user)
    # Whoever adds a key forgets expired ones: it is the last.
    past = utc_now() - hour
    _, expired = await give_key(client, carol.user, expires_at=past)
    await storage.change_user(dave.user.id, is_disabled=True, actor=Actor())
    known = new_access_token()
    wrong_checksum = known[:-1] + ("x" if known[-1] != "x" else "y")
    at_carols = {
        "anonymous": {},
        "malformed": bearer("' OR 1=1 --"),
        "wrong checksum": bearer(wrong_checksum),
        "unknown login": bearer(new_access_token()),
        "unknown key": bearer(new_api_key()),
        "logged-out login": bearer(logged_out),
        "expired login": bearer(ended),
        "revoked key": revoked,
        "revoked key, other header": {
            "X-API-Key": revoked["Authorization"].removeprefix("Bearer ")
        },
        "expired key": expired,
        "malformed cookie": in_cookie(bearer("' OR 1=1 --")) | OWN_PAGE,
        "unknown cookie": in_cookie(bearer(new_access_token())) | OWN_PAGE,
        "logged-out cookie": in_cookie(bearer(logged_out)) | OWN_PAGE,
        "expired cookie": in_cookie(bearer(ended)) | OWN_PAGE,
        "key in a cookie": in_cookie(carols_key) | OWN_PAGE,
        "proxy's header without a login": {PROXY_HEADER: "carol"},
        "another server's cookie": {
            "Cookie": in_cookie(carol.login)["Cookie"].replace("=", "0=")
        }
        | OWN_PAGE,
    }
    return {name: (headers, carol.things) for name, headers in at_carols.items()} | {
        "disabled user's login": (dave.login, dave.things),
        "disabled user's key": (daves_key, dave.things),
        "disabled user's cookie": (in_cookie(dave.login) | OWN_PAGE, dave.things),
    }


async def wait_for_words(client: Client, holder: Holder) -> None:
    """Wait until what somebody's run has said so far is kept."""
    async with asyncio.timeout(LONG_ENOUGH):
        while True:
            run = await client.storage.get_run(holder.user, holder.things.run_id)
            if run.response:
                return
            await asyncio.sleep(0.01)


class AbleProvider(CountingProvider, EmbeddingProvider):
    """One that can do all that routes ask for."""
