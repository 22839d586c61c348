"""Whom the doors let in."""

import re
from typing import Any

import pytest

from llamakeep.credentials.tokens import new_access_token
from tests.api.openapi import PATHS
from tests.api.serving import PROMPT, Client

FORGED = new_access_token()
OPEN_TO_ALL = [
    "POST /login/",
    "POST /login/code/",
    "POST /login/cookie/",
    "GET /login/oidc/",
    "POST /login/oidc/",
    "GET /login/oidc/callback",
    "GET /login/proxy/",
    "POST /setup/",
    "POST /password-reset/",
    "POST /invitations/accept",
    "GET /about/",
    "GET /about/proxy",
    "GET /healthz",
    "GET /readyz",
]
BY_ITS_ADDRESS = ["GET /replicate/v1/streams/{credential}"]
"""The address is the credential: see `test_replicate_door_streams`."""


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer token_carol",
        "Bearer Token_Alice",
        "Bearer token_alice x",
        "token_alice",
        "Basic YWxpY2U6c2VjcmV0MQ==",
        pytest.param(f"Bearer {FORGED}", id="forged"),
        pytest.param(f"Bearer {FORGED[:-1]}", id="cut"),
        pytest.param(f"Bearer {FORGED.lower()}", id="in lower case"),
        "Bearer " + "x" * 10_000,
        "Bearer ' OR 1=1 --",
        "Bearer \xff\xfe",
        "Bearer lk_\t",
    ],
)
async def test_a_malformed_or_foreign_access_token_is_refused(
    shared_client: Client, authorization: str
) -> None:
    headers = {b"authorization": authorization.encode("latin-1")}

    response = await shared_client.post("/prompt/", json=PROMPT, headers=headers)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["type"] == "urn:llamakeep:problem:unauthenticated"
    assert await shared_client.history() == []


async def test_an_expired_access_token_is_refused(client: Client) -> None:
    carol = await client.storage.add_user("carol", None)
    valid = await client.let_in(carol)
    expired = await client.let_in(carol, lifetime=0)

    answers = [await client.get("/me/", headers=each) for each in (valid, expired)]

    assert [answer.status_code for answer in answers] == [200, 401]


async def test_the_scheme_may_be_written_in_any_case(client: Client) -> None:
    response = await client.get("/me/", headers={"Authorization": "bearer token_alice"})

    assert response.status_code == 200


async def test_every_door_but_login_and_health_wants_an_access_token(
    client: Client,
) -> None:
    del client.headers["authorization"]

    open_to_all = [
        f"{method.upper()} {path}"
        for path, methods in PATHS.items()
        for method in methods
        if (
            await client.request(method, re.sub(r"{\w+}", "x", path), json=PROMPT)
        ).status_code
        != 401
    ]

    assert open_to_all == OPEN_TO_ALL


def test_the_openapi_document_says_which_doors_want_an_access_token() -> None:
    def is_guarded(operation: dict[str, Any]) -> bool:
        return [list(each) for each in operation.get("security", ())] == [
            ["AccessToken"]
        ]

    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in PATHS.items()
        for method, operation in methods.items()
    ]

    for door, operation in operations:
        is_open = door in OPEN_TO_ALL + BY_ITS_ADDRESS
        assert is_guarded(operation) is not is_open, door
        assert door in OPEN_TO_ALL or "401" in operation["responses"], door


def test_the_openapi_document_says_which_scopes_an_api_key_needs() -> None:
    for_own_pages = {("post", "/login/cookie/"), ("post", "/login/oidc/")}
    for path, methods in PATHS.items():
        for method, operation in methods.items():
            scopes = [
                scope
                for each in operation.get("security", ())
                for wanted in each.values()
                for scope in wanted
            ]
            is_refused = bool(scopes) or (method, path) in for_own_pages
            assert ("403" in operation["responses"]) is is_refused, path


async def test_what_is_wrong_with_a_body_is_told_only_to_users(client: Client) -> None:
    del client.headers["authorization"]

    response = await client.post("/prompt/", json={"prompt": 5})

    assert response.status_code == 401
