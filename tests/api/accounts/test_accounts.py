"""Choosing passwords, and the first user of a server."""

from collections.abc import AsyncIterator

import pytest

from llamakeep.app import offer_setup
from llamakeep.credentials.tokens import new_reset_token, new_setup_token
from llamakeep.domain import Actor, UserRole
from llamakeep.settings import Settings
from tests.api.http.test_bad_input import check_problem
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

CAROL = {"username": "carol", "password": "correct horse"}
OTHER = "battery staple"


@pytest.fixture
async def fresh(settings: Settings, sqlite_url: str) -> AsyncIterator[Client]:
    """A server without anybody who could log in; alice and bob were in a demo."""
    real = settings.model_copy(update={"demo": False, "database_url": sqlite_url})
    async with connect(real, ScriptedProvider()) as client:
        del client.headers["authorization"]
        yield client


@pytest.fixture
async def server(fresh: Client) -> Client:
    """A server with an administrator, as whom the client speaks, and carol."""
    root = await fresh.storage.add_user("root", "a hash", role=UserRole.ADMIN)
    fresh.headers.update(await fresh.let_in(root))
    created = await fresh.post("/admin/users/", json=CAROL)
    assert created.status_code == 201, created.text
    return fresh


async def log_in(server: Client, password: str = CAROL["password"]) -> dict[str, str]:
    response = await server.post("/login/", json=CAROL | {"password": password})
    assert response.status_code == 200, response.text
    return {"Authorization": f"Bearer {response.json()['token']}"}


async def reset_token(server: Client) -> str:
    known = await server.storage.find_credentials("carol")
    assert known is not None
    issued = await server.post(f"/admin/users/{known.user.id}/reset")
    assert issued.status_code == 201
    assert issued.json()["url"] == f"http://test/reset#{issued.json()['token']}"
    return str(issued.json()["token"])


async def test_the_set_up_token_creates_the_first_administrator(fresh: Client) -> None:
    body = CAROL | {"token": await offer_setup(fresh.app)}

    created = await fresh.post("/setup/", json=body)

    assert created.status_code == 201
    assert created.json()["role"] == "admin"
    users = await fresh.get("/admin/users/", headers=await log_in(fresh))
    assert users.json()["users"][0]["username"] == "carol"


async def test_the_set_up_token_is_good_for_one_user(fresh: Client) -> None:
    body = CAROL | {"token": await offer_setup(fresh.app)}
    await fresh.post("/setup/", json=body)

    again = await fresh.post("/setup/", json=body | {"username": "mallory"})

    check_problem(again, 401)
    assert await fresh.storage.find_credentials("mallory") is None
    assert await offer_setup(fresh.app) is None


async def test_nobody_sets_up_a_server_that_has_got_users_meanwhile(
    fresh: Client,
) -> None:
    body = CAROL | {"token": await offer_setup(fresh.app)}
    await fresh.storage.add_user("root", "a hash", role=UserRole.ADMIN)

    refused = await fresh.post("/setup/", json=body)

    check_problem(refused, 401)
    assert await fresh.storage.find_credentials("carol") is None


@pytest.mark.parametrize("is_offered", [True, False])
async def test_a_guessed_set_up_token_is_refused(
    fresh: Client, is_offered: bool
) -> None:
    if is_offered:
        await offer_setup(fresh.app)

    refused = await fresh.post("/setup/", json=CAROL | {"token": new_setup_token()})

    check_problem(refused, 401)
    assert refused.json()["type"] == "urn:llamakeep:problem:setup-refused"
    assert not await fresh.storage.has_users()


async def test_a_demonstration_offers_no_set_up(client: Client) -> None:
    assert await offer_setup(client.app) is None


async def test_a_new_password_ends_all_logins_but_the_one_it_was_chosen_in(
    server: Client,
) -> None:
    mine, other = await log_in(server), await log_in(server)
    key = await server.post("/keys/", json={"name": "robot"}, headers=mine)
    body = {"current_password": CAROL["password"], "password": OTHER}

    changed = await server.post("/me/password", json=body, headers=mine)

    assert changed.status_code == 204
    with_key = {"Authorization": f"Bearer {key.json()['key']}"}
    answers = [await server.get("/me/", headers=h) for h in (mine, other, with_key)]
    assert [answer.status_code for answer in answers] == [200, 401, 200]
    assert (await server.post("/login/", json=CAROL)).status_code == 401
    await log_in(server, OTHER)
    kinds = [event.kind for event in await server.storage.audit()]
    assert "password.changed" in kinds


async def test_a_wrong_current_password_changes_nothing(server: Client) -> None:
    mine = await log_in(server)
    body = {"current_password": "guess", "password": OTHER}

    refused = await server.post("/me/password", json=body, headers=mine)

    check_problem(refused, 422)
    assert refused.json()["errors"][0]["field"] == "current_password"
    await log_in(server)


async def test_guessing_the_current_password_is_slowed_down(server: Client) -> None:
    mine = await log_in(server)
    body = {"current_password": "guess", "password": OTHER}

    guesses = [
        await server.post("/me/password", json=body, headers=mine) for _ in range(21)
    ]

    assert guesses[0].status_code == 422
    assert guesses[-1].status_code == 429


async def test_no_api_key_changes_a_password(server: Client) -> None:
    mine = await log_in(server)
    scopes = ["prompt", "history", "delete", "keys"]
    made = await server.post(
        "/keys/", json={"name": "robot", "scopes": scopes}, headers=mine
    )
    with_key = {"Authorization": f"Bearer {made.json()['key']}"}
    body = {"current_password": CAROL["password"], "password": OTHER}

    refused = await server.post("/me/password", json=body, headers=with_key)

    check_problem(refused, 403)


async def test_a_reset_token_sets_a_password_once_and_ends_all_logins(
    server: Client,
) -> None:
    before = await log_in(server)
    body = {"token": await reset_token(server), "password": OTHER}

    first = await server.post("/password-reset/", json=body)
    second = await server.post("/password-reset/", json=body | {"password": "x" * 8})

    assert first.status_code == 204
    check_problem(second, 401)
    assert (await server.get("/me/", headers=before)).status_code == 401
    await log_in(server, OTHER)


async def test_only_the_newest_reset_token_counts(server: Client) -> None:
    older, newer = await reset_token(server), await reset_token(server)

    answers = [
        await server.post("/password-reset/", json={"token": each, "password": OTHER})
        for each in (older, newer)
    ]

    assert [answer.status_code for answer in answers] == [401, 204]


async def test_a_reset_token_of_a_disabled_user_is_worth_nothing(
    server: Client,
) -> None:
    issued = await reset_token(server)
    known = await server.storage.find_credentials("carol")
    assert known is not None
    for is_disabled in (True, False):
        await server.storage.change_user(
            known.user.id, is_disabled=is_disabled, actor=Actor()
        )

    refused = await server.post(
        "/password-reset/", json={"token": issued, "password": OTHER}
    )

    check_problem(refused, 401)


@pytest.mark.parametrize(
    "value", ["x", pytest.param(new_reset_token(), id="well-formed"), "lkr_ä"]
)
async def test_a_guessed_reset_token_is_refused(server: Client, value: str) -> None:
    refused = await server.post(
        "/password-reset/", json={"token": value, "password": OTHER}
    )

    check_problem(refused, 401)
    assert refused.json()["type"] == "urn:llamakeep:problem:reset-refused"


async def test_a_user_without_a_password_chooses_one_with_a_reset_token(
    server: Client,
) -> None:
    created = await server.post("/admin/users/", json={"username": "dave"})
    login = {"username": "dave", "password": OTHER}
    early = await server.post("/login/", json=login)
    issued = await server.post(f"/admin/users/{created.json()['id']}/reset")
    body = {"token": issued.json()["token"], "password": OTHER}

    chosen = await server.post("/password-reset/", json=body)

    late = await server.post("/login/", json=login)
    assert (early.status_code, chosen.status_code, late.status_code) == (401, 204, 200)
