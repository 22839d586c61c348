"""Logging in and out, with real accounts and with those of demo mode."""

import httpx2
import pytest

from llamakeep.domain import Actor
from llamakeep.errors import StorageUnavailable
from llamakeep.settings import Settings
from tests.api.accounts.logins import CAROL
from tests.api.serving import ALICE, Client, connect


async def log_in(server: Client) -> dict[str, str]:
    response = await server.post("/login/", json=CAROL)
    return {"Authorization": f"Bearer {response.json()['token']}"}


async def test_a_login_answers_an_access_token_that_lets_its_user_in(
    server: Client,
) -> None:
    login = await server.post("/login/", json=CAROL)

    bearer = {"Authorization": f"Bearer {login.json()['token']}"}
    me = await server.get("/me/", headers=bearer)
    assert login.status_code == 200
    assert login.json()["token"].startswith("lka_")
    assert login.json()["expires_at"].endswith("Z")
    assert (me.status_code, me.json()["username"]) == (200, "carol")


async def test_the_case_of_a_username_does_not_matter(server: Client) -> None:
    response = await server.post("/login/", json=CAROL | {"username": "Carol"})

    assert response.status_code == 200


async def test_a_wrong_password_and_an_unknown_user_look_the_same(
    server: Client,
) -> None:
    wrong = await server.post("/login/", json=CAROL | {"password": "guess"})
    unknown = await server.post("/login/", json=CAROL | {"username": "nobody"})

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content
    for one in (wrong, unknown):
        del one.headers["x-request-id"]
    assert sorted(wrong.headers.items()) == sorted(unknown.headers.items())
    assert wrong.json()["type"] == "urn:llamakeep:problem:wrong-credentials"
    assert wrong.headers["www-authenticate"] == "Bearer"


async def test_a_disabled_user_cannot_log_in_and_is_not_told_why(
    server: Client,
) -> None:
    unknown = await server.post("/login/", json=CAROL | {"username": "nobody"})
    known = await server.storage.find_credentials("carol")
    assert known is not None
    await server.storage.change_user(known.user.id, is_disabled=True, actor=Actor())

    disabled = await server.post("/login/", json=CAROL)

    assert (disabled.status_code, disabled.content) == (401, unknown.content)


async def test_a_disabled_user_is_out_at_once(server: Client) -> None:
    bearer = await log_in(server)
    known = await server.storage.find_credentials("carol")
    assert known is not None

    await server.storage.change_user(known.user.id, is_disabled=True, actor=Actor())

    assert (await server.get("/me/", headers=bearer)).status_code == 401


async def test_guessing_is_slowed_down(server: Client) -> None:
    guess = CAROL | {"password": "guess"}
    guesses = [await server.post("/login/", json=guess) for _ in range(5)]

    slowed = await server.post("/login/", json=guess)

    assert [one.status_code for one in guesses] == [401] * 5
    assert slowed.status_code == 429
    assert 1 <= int(slowed.headers["retry-after"]) <= 60
    assert slowed.json()["type"] == "urn:llamakeep:problem:too-many-attempts"


async def test_guessing_at_nobody_is_slowed_down_like_guessing_at_somebody(
    server: Client,
) -> None:
    def last_of(responses: list[httpx2.Response]) -> tuple[int, str]:
        return responses[-1].status_code, responses[-1].headers["retry-after"]

    at_nobody = [
        await server.post("/login/", json={"username": "nobody", "password": "guess"})
        for _ in range(6)
    ]
    at_carol = [
        await server.post("/login/", json=CAROL | {"password": "guess"})
        for _ in range(6)
    ]

    assert last_of(at_nobody) == last_of(at_carol)


async def test_logging_out_revokes_the_access_token_at_once(server: Client) -> None:
    bearer = await log_in(server)
    other = await log_in(server)

    response = await server.post("/logout/", headers=bearer)

    assert (response.status_code, response.content) == (204, b"")
    assert (await server.get("/me/", headers=bearer)).status_code == 401
    assert (await server.get("/me/", headers=other)).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "x" * 65}, "username"),
        ({"username": "a\0b"}, "username"),
        ({"username": None}, "username"),
        ({"password": ""}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"password": "a\0b"}, "password"),
        ({"password": 12345678}, "password"),
        ({"is_admin": True}, "is_admin"),
    ],
)
async def test_a_login_with_a_wrong_field_names_it(
    shared_client: Client, change: dict[str, object], field: str
) -> None:
    response = await shared_client.post("/login/", json=CAROL | change)

    assert response.status_code == 422
    assert [one["field"] for one in response.json()["errors"]] == [field]
    assert "correct horse" not in response.text


async def test_a_refused_login_does_not_repeat_the_password(
    shared_client: Client,
) -> None:
    password = "hunter2" * 200

    response = await shared_client.post("/login/", json=CAROL | {"password": password})

    assert "hunter2" not in response.text


async def test_a_demo_user_has_no_other_password(client: Client) -> None:
    response = await client.post(
        "/login/", json={"username": "alice", "password": "secret2"}
    )

    assert response.status_code == 401


async def test_a_demo_user_can_log_in_again_after_logging_out(client: Client) -> None:
    await client.post("/logout/")
    out = await client.get("/me/")

    login = await client.post(
        "/login/", json={"username": "alice", "password": "secret1"}
    )

    assert out.status_code == 401
    assert login.json()["token"] == "token_alice"
    assert (await client.get("/me/")).json()["username"] == "alice"


async def test_demo_users_cannot_get_in_outside_demo_mode(server: Client) -> None:
    login = await server.post(
        "/login/", json={"username": "alice", "password": "secret1"}
    )
    me = await server.get("/me/", headers=ALICE)

    assert (login.status_code, me.status_code) == (401, 401)


async def test_demo_mode_does_not_open_the_account_of_a_real_alice(
    settings: Settings,
) -> None:
    url = settings.database_url.replace("llamakeep.db", "real.db")
    real = settings.model_copy(update={"demo": False, "database_url": url})
    async with connect(real) as server:
        await server.storage.add_user("Alice", "the hash of a password")

    with pytest.raises(StorageUnavailable, match="real user"):
        async with connect(real.model_copy(update={"demo": True})):
            pass
