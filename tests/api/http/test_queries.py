"""Query parameters that a route does not have: named, and nothing is done."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.domain import UserRole
from tests.api.doors import CALLS, OPEN, Call, Things, request_of
from tests.api.openapi import PATHS
from tests.api.serving import Client

SIGN_IN = "/login/oidc/"
"""Identity providers send browsers there, with parameters of their own."""
ROUTES = [
    f"{method.upper()} {path}"
    for path, methods in PATHS.items()
    if not path.startswith(SIGN_IN)
    for method in methods
]
OWN = [route for route in ROUTES if not route.split()[1].startswith(("/v1", "/repl"))]
VENDORS = [
    route for route in ROUTES if route not in OWN and "{credential}" not in route
]


def queries_of(route: str) -> list[dict[str, Any]]:
    """Return what the OpenAPI document says about a route's query parameters."""
    method, path = route.split()
    found = PATHS[path][method.lower()].get("parameters", [])
    return [one for one in found if one["in"] == "query"]


def is_list(parameter: dict[str, Any]) -> bool:
    schema = parameter["schema"]
    kinds = [schema, *schema.get("anyOf", [])]
    return any(kind.get("type") == "array" for kind in kinds)


SINGLE = [
    (route, one["name"])
    for route in ROUTES
    for one in queries_of(route)
    if not is_list(one)
]


@pytest.fixture(scope="module")
async def admin(shared_client: Client) -> AsyncIterator[Client]:
    """Somebody who may call every route."""
    user = await shared_client.storage.add_user("root", None, role=UserRole.ADMIN)
    before = dict(shared_client.headers)
    shared_client.headers.update(await shared_client.let_in(user))
    yield shared_client
    shared_client.headers.update(before)


async def wrong_of(
    client: Client, route: str, query: str, status: int = 422
) -> list[dict[str, str]]:
    """Return what is said to be wrong about the query that a route is sent."""
    call = CALLS.get(route, Call("{}"))
    request = request_of(route, Things.nobodys(), Call(call.body, query))
    request["headers"]["Origin"] = "http://test"  # to log in with a cookie
    response = await client.request(**request)
    assert response.status_code == status, response.text
    found: list[dict[str, str]] = response.json()["errors"]
    return found


@pytest.mark.parametrize("route", OWN)
async def test_a_query_parameter_that_a_route_does_not_have_is_named(
    admin: Client, route: str
) -> None:
    [error] = await wrong_of(admin, route, "colour=red")

    assert error["field"] == "query.colour"
    assert "There is no such query parameter" in error["message"]
    if not queries_of(route):
        assert "this route takes none" in error["message"]
    for one in queries_of(route):
        assert f"`{one['name']}`" in error["message"]


@pytest.mark.parametrize(
    ("route", "name"),
    [(route, one["name"]) for route in OWN for one in queries_of(route)],
)
async def test_the_parameter_that_may_be_meant_is_named(
    admin: Client, route: str, name: str
) -> None:
    if len(name) == 1:
        return
    errors = await wrong_of(admin, route, f"{name}{name[-1]}=1&{name.upper()}=1")

    assert [f"Did you mean `{name}`?" in one["message"] for one in errors] == [True] * 2


@pytest.mark.parametrize(("route", "name"), [one for one in SINGLE if one[0] in OWN])
async def test_a_parameter_with_one_value_is_not_given_twice(
    admin: Client, route: str, name: str
) -> None:
    [error] = await wrong_of(admin, route, f"{name}=1&{name}=2")

    assert error["field"] == f"query.{name}"
    assert "more than one" in error["message"]


@pytest.mark.parametrize(
    ("route", "name"),
    [
        (route, one["name"])
        for route in OWN
        for one in queries_of(route)
        if one["name"] != "q" or route.startswith("DELETE")
    ],
)
@pytest.mark.parametrize("written", ["", "=", "=%20"])
async def test_an_empty_parameter_says_so(
    admin: Client, route: str, name: str, written: str
) -> None:
    [error] = await wrong_of(admin, route, name + written)

    assert error["field"] == f"query.{name}"
    assert "It is empty." in error["message"]


@pytest.mark.parametrize(
    "query",
    [
        "q=write&untill=2020-01-01",
        "all=true&before=2020-01-01",
        "all=true&Until=2020-01-01",
        "all=true&until%20=2020-01-01",
        "all=true&until[]=2020-01-01",
        "all=true&limit=1",
        "all=true&q=",
        "all=true&q=%20%09",
        "all=true&tag=",
        "all=true&model=",
        "all=false&all=true",
        "until=2020-01-01&until=2099-01-01",
        "q=hello&q=nothing",
        "all=true&=",
        "all=true&" + "&".join(f"filter{n}=1" for n in range(500)),
        "all=true&" + "x" * 5000,
    ],
)
async def test_nothing_is_deleted_with_a_filter_that_is_not_understood(
    client: Client, query: str
) -> None:
    await client.post("/prompt/", json={"prompt": "write"})

    response = await client.delete(f"/history/?{query}")

    assert response.status_code == 422
    assert response.json()["detail"].endswith("Nothing was deleted.")
    assert len(response.text) < 4000
    assert len(await client.history()) == 1


async def test_nothing_is_deleted_when_the_filters_are_in_the_body(
    client: Client,
) -> None:
    await client.post("/prompt/", json={"prompt": "write"})

    response = await client.request(
        "DELETE", "/history/?all=true", json={"until": "2020-01-01"}
    )

    assert response.status_code == 422
    assert "Nothing was deleted." in response.json()["detail"]
    assert len(await client.history()) == 1


async def test_a_parameter_for_several_values_takes_several(
    shared_client: Client,
) -> None:
    response = await shared_client.get("/history/?tag=a&tag=b")

    assert response.status_code == 200


@pytest.mark.parametrize("route", [route for route in OWN if route not in OPEN])
async def test_a_stranger_learns_only_that_they_are_one(
    shared_client: Client, route: str
) -> None:
    request = request_of(route, Things.nobodys(), Call(CALLS[route].body, "colour=red"))
    request["headers"] = {"Authorization": "Bearer token_nobody"}

    response = await shared_client.request(**request)

    assert response.status_code == 401


def _may_filter(route: str) -> bool:
    return route.startswith("DELETE") or bool(queries_of(route))


@pytest.mark.parametrize("route", [route for route in VENDORS if _may_filter(route)])
async def test_vendors_clients_cannot_filter_with_what_does_not_exist(
    shared_client: Client, route: str
) -> None:
    call = Call(CALLS[route].body, "colour=red&api-version=1")
    request = request_of(route, Things.nobodys(), call)

    response = await shared_client.request(**request)

    assert response.status_code in {400, 422}
    assert "colour" in response.text
    assert "There is no such query parameter" in response.text


@pytest.mark.parametrize(
    "route", [route for route in VENDORS if not _may_filter(route)]
)
async def test_vendors_clients_may_send_more_where_it_changes_nothing(
    shared_client: Client, route: str
) -> None:
    things = Things.nobodys()
    plain = await shared_client.request(**request_of(route, things))

    call = Call(CALLS[route].body, "colour=red&api-version=1")
    response = await shared_client.request(**request_of(route, things, call))

    assert response.status_code == plain.status_code


@pytest.mark.parametrize(
    ("route", "name"), [one for one in SINGLE if one[0] in VENDORS]
)
async def test_vendors_clients_give_a_parameter_once(
    shared_client: Client, route: str, name: str
) -> None:
    call = Call(CALLS[route].body, f"{name}=1&{name}=2")

    response = await shared_client.request(**request_of(route, Things.nobodys(), call))

    assert response.status_code in {400, 422}
    assert name in response.text
