"""Who is refused where: every route of the OpenAPI document, with every credential."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Connection

from llamakeep.api.http import documentation
from llamakeep.api.page.files import Files
from llamakeep.api.page.routes import page_routes
from llamakeep.api.replicate import unserved
from llamakeep.credentials.api_keys import issue_api_key
from llamakeep.credentials.invitations import issue_invitation
from llamakeep.credentials.passwords import hash_password
from llamakeep.credentials.tokens import digest, new_access_token, new_api_key
from llamakeep.domain import Actor, Scope, User, UserRole, utc_now
from llamakeep.settings import Settings
from llamakeep.storage.runs.images import add_images
from tests.api.doors import (
    CALLS,
    FILTERS,
    OPEN,
    PASSWORD,
    REFERENCES,
    Call,
    Things,
    request_of,
    scopes_of,
)
from tests.api.openapi import PATHS
from tests.api.serving import Client, connect
from tests.fakes import CountingProvider, EmbeddingProvider
from tests.images import image, png
from tests.waiting import LONG_ENOUGH

Headers = dict[str, str]
PASSWORD_HASH = hash_password(PASSWORD)
ADDRESS = "test"
OWN_PAGE = {"Origin": f"http://{ADDRESS}"}
FOREIGN_PAGES: dict[str, Headers] = {
    "another site": {"Origin": "https://evil.example"},
    "another port": {"Origin": f"http://{ADDRESS}:8001"},
    "another scheme": {"Origin": f"https://{ADDRESS}"},
    "a sandbox": {"Origin": "null"},
    "another site, not named": {"Sec-Fetch-Site": "cross-site"},
    "another port, not named": {"Sec-Fetch-Site": "same-site"},
}
"""What browsers say of pages that are not this server's."""


def _names_a_thing(route: str) -> bool:
    """Return whether there is somebody's id in the path; models are everybody's."""
    return "_id}" in route.replace("{version_id}", "")


WITH_IDS = [
    *((route, call) for route, call in CALLS.items() if _names_a_thing(route)),
    *REFERENCES,
]


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
    carol: Holder
    """An administrator."""
    mallory: Holder
    """A user."""
    refused: dict[str, tuple[Headers, Things]]
    """What does not let in any more, or never did, and what it is tried at."""

    async def database(self) -> dict[str, Any]:
        """Return all that is kept, once nothing is left to be done about it."""
        while await self.client.storage.index_finished():
            pass
        return await self.client.storage._database.read(_rows)

    async def seen(
        self, route: str, call: Call, things: Things
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return all that mallory can tell apart, but for the ids that she sent."""
        request = request_of(route, things, call)
        request["headers"] |= self.mallory.login
        response = await self.client.request(**request)
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name != "x-request-id"
        ]
        return response.status_code, headers, things.anonymous(response.content)

    async def send(self, route: str, headers: Headers, things: Things) -> int:
        """Return the status that a request is answered with."""
        request = request_of(route, things)
        request["headers"] |= headers
        response = await self.client.request(**request)
        self.client.cookies.clear()
        return response.status_code


def _rows(connection: Connection) -> dict[str, Any]:
    tables = connection.exec_driver_sql(
        "SELECT name FROM sqlite_schema WHERE type = 'table'"
        " AND sql NOT LIKE 'CREATE VIRTUAL%'"
    ).scalars()
    return {
        name: connection.exec_driver_sql(f'SELECT * FROM "{name}"').all()
        for name in tables.all()
    }


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
    victim = await storage.add_user(f"{name}-junior", None)
    login = await client.let_in(user, lifetime=7 * 24 * 3600)  # it is not renewed
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
        login_id=(await storage.list_logins(user))[0].id,
        user_id=victim.id,
        service_id=service.id,
        service_key_id=service_key.id,
        invitation_id=invitation.id,
    )
    return Holder(user, things, login)


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


class _AbleProvider(CountingProvider, EmbeddingProvider):
    """One that can do all that routes ask for."""


@pytest.fixture(scope="module")
async def world(
    migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """For all tests of this module: each leaves it as it was."""
    file = tmp_path_factory.mktemp("world") / "llamakeep.db"
    shutil.copy(migrated_file, file)
    # Nothing is written only because time goes by.
    settings = Settings.model_construct(
        database_url=f"sqlite:///{file}", lease=3600, shutdown_grace=0, webhooks=True
    )
    provider = _AbleProvider(["A secret", asyncio.Event()])
    async with connect(settings, provider) as client:
        del client.headers["authorization"]
        carol = await settle(client, "carol", UserRole.ADMIN, is_going_on=True)
        await wait_for_words(client, carol)
        provider.script = ["Hello"]
        mallory = await settle(client, "mallory", UserRole.USER)
        dave = await settle(client, "dave", UserRole.ADMIN)
        refused = await discredit(client, carol, dave)
        yield World(client, carol, mallory, refused)


def test_there_is_a_known_way_to_call_every_route() -> None:
    documented = {
        f"{method.upper()} {path}"
        for path, methods in PATHS.items()
        for method in methods
    }

    assert set(CALLS) | OPEN == documented
    assert not set(CALLS) & OPEN


async def test_what_is_not_in_the_document_gives_nothing_away(world: World) -> None:
    others = {
        route.path
        for route in world.client.app.router.routes
        if isinstance(route, APIRoute)
        # A name of a model may have slashes.
        and route.path.replace(":path}", "}") not in PATHS
    }

    # These answer all methods with a 404 that says why, and with the page.
    known = (
        *unserved.router.routes,
        *documentation.router.routes,
        *page_routes(Files()),
    )
    assert others == {route.path for route in known if isinstance(route, APIRoute)}


@pytest.mark.parametrize("route", CALLS)
async def test_the_owner_is_let_in(world: World, route: str) -> None:
    # What is called here changes something: it is not carol's.
    name = f"owner-{list(CALLS).index(route)}"
    owner = await settle(world.client, name, UserRole.ADMIN)

    status = await world.send(route, owner.login, owner.things)

    assert status in {200, 201, 202, 204}


@pytest.mark.parametrize("route", CALLS)
async def test_the_owner_is_let_in_by_the_cookie_on_the_servers_own_page(
    world: World, route: str
) -> None:
    name = f"browser-{list(CALLS).index(route)}"
    owner = await settle(world.client, name, UserRole.ADMIN)

    status = await world.send(route, in_cookie(owner.login) | OWN_PAGE, owner.things)

    assert status in {200, 201, 202, 204}


@pytest.mark.parametrize("route", CALLS)
async def test_pages_of_others_cannot_use_the_cookie(world: World, route: str) -> None:
    before = await world.database()
    cookie = in_cookie(world.carol.login)
    pages = dict(FOREIGN_PAGES)
    if not route.startswith("GET "):
        pages["unknown"] = {}

    answers = {
        name: await world.send(route, cookie | page, world.carol.things)
        for name, page in pages.items()
    }

    assert answers == dict.fromkeys(pages, 403)
    assert await world.database() == before


@pytest.mark.parametrize("route", CALLS)
async def test_nothing_else_than_a_valid_credential_lets_in(
    world: World, route: str
) -> None:
    before = await world.database()

    answers = {
        name: await world.send(route, headers, things)
        for name, (headers, things) in world.refused.items()
    }

    assert answers == dict.fromkeys(world.refused, 401)
    assert await world.database() == before


@pytest.mark.parametrize("route", [route for route in CALLS if scopes_of(route)])
async def test_a_key_that_lacks_the_scopes_is_refused(world: World, route: str) -> None:
    others = [scope for scope in Scope if scope not in scopes_of(route)]
    key_id, headers = await give_key(world.client, world.carol.user, scopes=others)
    before = await world.database()

    status = await world.send(route, headers, world.carol.things)

    assert status == 403
    assert await world.database() == before
    await world.client.storage.revoke_api_key(world.carol.user, key_id)


@pytest.mark.parametrize("route", [route for route in CALLS if "/admin/" in route])
async def test_administrators_doors_are_closed_to_users(
    world: World, route: str
) -> None:
    _, key = await give_key(world.client, world.mallory.user)
    await world.send("GET /me/", key, world.mallory.things)  # its use is noted
    before = await world.database()

    answers = [
        await world.send(route, headers, world.carol.things)
        for headers in (world.mallory.login, key)
    ]

    assert answers == [403, 403]
    assert await world.database() == before


@pytest.mark.parametrize(("route", "call"), WITH_IDS)
async def test_what_is_somebody_elses_looks_like_what_does_not_exist(
    world: World, route: str, call: Call
) -> None:
    before = await world.database()

    at_carols = await world.seen(route, call, world.carol.things)
    at_nobodys = await world.seen(route, call, Things.nobodys())

    assert at_carols == at_nobodys
    assert 400 <= at_carols[0] < 500
    assert await world.database() == before


@pytest.mark.parametrize(("route", "call"), FILTERS)
async def test_nobody_finds_anything_by_somebody_elses_ids(
    world: World, route: str, call: Call
) -> None:
    before = await world.database()

    at_carols = await world.seen(route, call, world.carol.things)
    at_nobodys = await world.seen(route, call, Things.nobodys())

    assert at_carols == at_nobodys
    assert at_carols[0] == 200
    assert await world.database() == before


@pytest.mark.parametrize(
    ("route", "call"), [each for each in WITH_IDS if "{user_id}" not in each[0]]
)
async def test_an_administrator_is_nobodys_owner(
    world: World, route: str, call: Call
) -> None:
    before = await world.database()
    request = request_of(route, world.mallory.things, call)
    request["headers"] |= world.carol.login

    response = await world.client.request(**request)

    assert response.status_code in {400, 404}
    assert await world.database() == before


@pytest.mark.parametrize("route", CALLS)
async def test_the_twin_of_a_path_is_guarded_as_well(world: World, route: str) -> None:
    method, path = route.split()
    twin = path.removesuffix("/") if path.endswith("/") else path + "/"

    response = await world.client.request(method, world.carol.things.fill(twin))

    assert response.status_code == 401


@pytest.mark.parametrize("query", ["", "?q=know", "?q=secret"])
async def test_nobody_elses_runs_are_in_any_list_or_search(
    world: World, query: str
) -> None:
    answer = await world.client.get(f"/history/{query}", headers=world.mallory.login)

    assert world.carol.things.run_id not in answer.text
