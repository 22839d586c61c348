"""Who is refused where: every route of the OpenAPI document, with every credential."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from llamakeep.api.dependencies import LOGIN
from llamakeep.api.http import documentation
from llamakeep.api.page.files import Files
from llamakeep.api.page.routes import page_routes
from llamakeep.api.replicate import unserved
from llamakeep.domain import Scope, UserRole
from llamakeep.settings import Settings
from tests.api.accounts.identity_provider import running_provider
from tests.api.accounts.world import (
    ADDRESS,
    ELSEWHERE,
    OWN_PAGE,
    PROXY_HEADER,
    AbleProvider,
    Headers,
    World,
    discredit,
    give_key,
    in_cookie,
    settle,
    strangers,
    wait_for_words,
)
from tests.api.doors import (
    CALLS,
    FILTERS,
    OPEN,
    REFERENCES,
    Call,
    Things,
    request_of,
    scopes_of,
)
from tests.api.openapi import PATHS
from tests.api.serving import Client, connect

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


@pytest.fixture(scope="module")
async def world(
    migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """For all tests of this module: each leaves it as it was."""
    file = tmp_path_factory.mktemp("world") / "llamakeep.db"
    shutil.copy(migrated_file, file)
    # Nothing is written only because time goes by.
    settings = Settings.model_construct(
        database_url=f"sqlite:///{file}",
        lease=3600,
        shutdown_grace=0,
        webhooks=True,
        trusted_proxies=(ip_network("127.0.0.1"),),
        proxy_user_header=PROXY_HEADER,
    )
    provider = AbleProvider(["A secret", asyncio.Event()])
    async with (
        running_provider() as identities,
        connect(identities.settings(settings), provider) as client,
    ):
        del client.headers["authorization"]
        carol = await settle(client, "carol", UserRole.ADMIN, is_going_on=True)
        await wait_for_words(client, carol)
        provider.script = ["Hello"]
        others = await strangers(client, identities)
        dave = await settle(client, "dave", UserRole.ADMIN)
        refused = await discredit(client, carol, dave)
        async with Client(client.app, address=ELSEWHERE, raise_bugs=True) as elsewhere:
            del elsewhere.headers["authorization"]
            yield World(client, elsewhere, carol, others, refused)


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
    answers["proxy's header from another address"] = await world.send(
        route,
        {PROXY_HEADER: "marvin", "X-Forwarded-For": "127.0.0.1"},
        world.strangers["proxy"].things,
        client=world.elsewhere,
    )

    assert answers == dict.fromkeys(answers, 401)
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
    mallory = world.strangers["password"]
    _, key = await give_key(world.client, mallory.user)
    before = await world.database()
    logins = {name: each.login for name, each in world.strangers.items()}

    answers = {
        name: await world.send(route, headers, world.carol.things)
        for name, headers in {**logins, "key": key}.items()
    }

    assert set(answers.values()) == {403}, answers
    assert await world.database() == before


@pytest.mark.parametrize("route", [route for route in CALLS if route.startswith("GET")])
async def test_users_of_every_kind_are_let_in_to_what_is_theirs(
    world: World, route: str
) -> None:
    answers = {
        name: await world.send(route, each.login, each.things)
        for name, each in world.strangers.items()
    }

    is_admins = "/admin/" in route or route == "GET /metrics"
    wanted = dict.fromkeys(answers, 403 if is_admins else 200)
    if LOGIN in scopes_of(route):
        wanted["service account"] = 403
    assert answers == wanted


@pytest.mark.parametrize(("route", "call"), WITH_IDS)
async def test_what_is_somebody_elses_looks_like_what_does_not_exist(
    world: World, route: str, call: Call
) -> None:
    before = await world.database()

    for stranger in world.strangers.values():
        at_carols = await world.seen(stranger, route, call, world.carol.things)
        at_nobodys = await world.seen(stranger, route, call, Things.nobodys())

        assert at_carols == at_nobodys
        assert 400 <= at_carols[0] < 500
    assert await world.database() == before


@pytest.mark.parametrize(("route", "call"), FILTERS)
async def test_nobody_finds_anything_by_somebody_elses_ids(
    world: World, route: str, call: Call
) -> None:
    before = await world.database()

    for stranger in world.strangers.values():
        at_carols = await world.seen(stranger, route, call, world.carol.things)
        at_nobodys = await world.seen(stranger, route, call, Things.nobodys())

        assert at_carols == at_nobodys
        assert at_carols[0] == 200
    assert await world.database() == before


@pytest.mark.parametrize(
    ("route", "call"), [each for each in WITH_IDS if "/admin/" not in each[0]]
)
async def test_an_administrator_is_nobodys_owner(
    world: World, route: str, call: Call
) -> None:
    before = await world.database()

    for stranger in world.strangers.values():
        request = request_of(route, stranger.things, call)
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
    for stranger in world.strangers.values():
        answer = await world.client.get(f"/history/{query}", headers=stranger.login)

        assert answer.status_code == 200
        assert world.carol.things.run_id not in answer.text
