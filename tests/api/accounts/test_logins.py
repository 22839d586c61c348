"""Where a user is logged in."""

from datetime import timedelta

from tests.api.accounts.logins import CAROL, OWN, cookie_of, log_in
from tests.api.serving import Client

FIREFOX = OWN | {"User-Agent": "Firefox"}


async def token(server: Client) -> dict[str, str]:
    response = await server.post("/login/", json=CAROL, headers={"User-Agent": "curl"})
    return {"Authorization": f"Bearer {response.json()['token']}"}


async def cookie(server: Client) -> dict[str, str]:
    return cookie_of(await log_in(server, **FIREFOX))


async def test_a_login_says_what_keeps_it_and_where_it_began(server: Client) -> None:
    program = await token(server)
    browser = await cookie(server)

    response = await server.get("/me/logins/", headers=browser)

    assert response.status_code == 200
    newest, older = response.json()["logins"]
    assert (
        newest.items()
        >= {
            "kind": "cookie",
            "address": "127.0.0.1",
            "user_agent": "Firefox",
            "current": True,
        }.items()
    )
    assert newest["last_used_at"] >= newest["created_at"]
    assert (
        older.items()
        >= {
            "kind": "token",
            "last_used_at": None,
            "user_agent": "curl",
            "current": False,
        }.items()
    )
    secrets = (program["Authorization"], browser["Cookie"])
    assert not any(secret[-20:] in response.text for secret in secrets)


async def test_a_login_that_is_ended_elsewhere_is_no_credential(server: Client) -> None:
    lost, mine = await cookie(server), await token(server)
    logins = (await server.get("/me/logins/", headers=mine)).json()["logins"]
    [other] = [one["id"] for one in logins if not one["current"]]

    ended = await server.delete(f"/me/logins/{other}", headers=mine)
    again = await server.delete(f"/me/logins/{other}", headers=mine)

    assert (ended.status_code, ended.content) == (204, b"")
    assert "set-cookie" not in ended.headers
    assert again.status_code == 404
    assert again.json()["type"] == "urn:llamakeep:problem:login-not-found"
    assert (await server.get("/me/", headers=lost)).status_code == 401
    assert (await server.get("/me/", headers=mine)).status_code == 200
    [event, *_] = await server.storage.audit()
    assert (event.kind, event.detail) == ("logout", other)


async def test_ending_the_login_of_the_request_clears_its_cookie(
    server: Client,
) -> None:
    browser = await cookie(server)
    [mine] = (await server.get("/me/logins/", headers=browser)).json()["logins"]

    ended = await server.delete(f"/me/logins/{mine['id']}", headers=browser | FIREFOX)

    assert ended.status_code == 204
    assert "Max-Age=0" in ended.headers["set-cookie"]


async def test_logins_of_others_and_logins_that_are_over_are_not_there(
    server: Client,
) -> None:
    mine = await token(server)
    await server.let_in("dave")
    known = await server.storage.find_credentials("carol")
    assert known is not None
    await server.storage.add_access_token(known.user, b"o" * 32, lifetime=timedelta(0))

    logins = (await server.get("/me/logins/", headers=mine)).json()["logins"]

    assert [each["current"] for each in logins] == [True]
