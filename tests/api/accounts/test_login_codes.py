"""Logging in a command line by a code of the page."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from llamakeep.credentials.tokens import digest, new_login_code
from llamakeep.domain import Actor, AuditKind, utc_now
from llamakeep.settings import Settings
from llamakeep.storage.accounts.tables import login_codes
from tests.api.accounts.identity_provider import Browser
from tests.api.accounts.logins import OWN, cookie_of, log_in
from tests.api.accounts.test_proxy_sign_in import DORA, PATH, PROXY, behind
from tests.api.accounts.test_rates import rated
from tests.api.http.test_bad_input import check_problem
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

GRANT = "/me/login-codes/"
EXCHANGE = "/login/code/"
REFUSED = "urn:llamakeep:problem:login-code-refused"
PROGRAM = {"User-Agent": "llamakeep (carol@laptop)"}


class Terminal:
    """What runs `llamakeep login`."""

    def __init__(self) -> None:
        self.verifier = secrets.token_urlsafe(32)
        self.challenge = sha256(self.verifier.encode()).hexdigest()

    async def granted(
        self, client: Client, headers: dict[str, str], **fields: Any
    ) -> httpx2.Response:
        """Have the page give it a code."""
        body = {"challenge": self.challenge, "name": "carol@laptop", **fields}
        response = await client.post(GRANT, json=body, headers=OWN | headers)
        client.cookies.clear()
        return response

    async def code(self, client: Client, headers: dict[str, str]) -> str:
        response = await self.granted(client, headers)
        assert response.status_code == 201, response.text
        return str(response.json()["code"])

    async def exchange(self, client: Client, code: str) -> httpx2.Response:
        body = {"code": code, "verifier": self.verifier}
        return await client.post(EXCHANGE, json=body, headers=PROGRAM)


@pytest.fixture
async def cookie(server: Client) -> dict[str, str]:
    """Carol's login in a browser."""
    return cookie_of(await log_in(server))


def bearer(response: httpx2.Response) -> dict[str, str]:
    assert response.status_code == 200, response.text
    return {"Authorization": f"Bearer {response.json()['token']}"}


async def test_a_code_of_the_page_logs_a_terminal_in(
    server: Client, cookie: dict[str, str]
) -> None:
    terminal = Terminal()
    code = await terminal.code(server, cookie)

    headers = bearer(await terminal.exchange(server, code))

    me = await server.get("/me/", headers=headers)
    assert me.json()["username"] == "carol"
    logins = (await server.get("/me/logins/", headers=headers)).json()["logins"]
    [own] = [each for each in logins if each["current"]]
    assert (own["kind"], own["user_agent"]) == ("token", "llamakeep (carol@laptop)")
    came, granted, *_ = await server.storage.audit()
    assert (came.kind, came.username) == (AuditKind.LOGIN_SUCCEEDED, "carol")
    assert (granted.kind, granted.detail) == (AuditKind.LOGIN_GRANTED, "carol@laptop")


async def test_logging_out_ends_the_terminals_login_alone(
    server: Client, cookie: dict[str, str]
) -> None:
    terminal = Terminal()
    headers = bearer(
        await terminal.exchange(server, await terminal.code(server, cookie))
    )

    out = await server.post("/logout/", headers=headers)

    assert out.status_code == 204
    assert (await server.get("/me/", headers=headers)).status_code == 401
    assert (await server.get("/me/", headers=cookie)).status_code == 200


async def test_a_code_is_used_once(server: Client, cookie: dict[str, str]) -> None:
    terminal = Terminal()
    code = await terminal.code(server, cookie)
    await terminal.exchange(server, code)

    again = await terminal.exchange(server, code)

    assert check_problem(again, 401)["type"] == REFUSED


async def test_a_code_is_good_for_the_terminal_alone_that_asked(
    server: Client, cookie: dict[str, str]
) -> None:
    """Whoever sees a code on somebody's screen can do nothing with it."""
    asked, thief = Terminal(), Terminal()
    code = await asked.code(server, cookie)

    stolen = await thief.exchange(server, code)
    own = await asked.exchange(server, code)

    assert check_problem(stolen, 401)["type"] == REFUSED
    assert own.status_code == 200


@pytest.mark.parametrize(
    "code", ["lkc_x", pytest.param(new_login_code(), id="well-formed"), "ä"]
)
async def test_a_guessed_code_logs_nobody_in(server: Client, code: str) -> None:
    check_problem(await Terminal().exchange(server, code), 401)


async def test_a_code_is_good_for_minutes(
    server: Client, cookie: dict[str, str]
) -> None:
    terminal = Terminal()
    response = await terminal.granted(server, cookie)
    ends_at = datetime.fromisoformat(response.json()["expires_at"])
    past = login_codes.update().values(expires_at=utc_now() - timedelta(seconds=1))
    await server.storage._database.write(lambda c: c.execute(past).close())

    late = await terminal.exchange(server, response.json()["code"])

    assert ends_at - utc_now() < timedelta(minutes=5)
    check_problem(late, 401)


async def test_only_digests_are_kept(server: Client, cookie: dict[str, str]) -> None:
    terminal = Terminal()
    code = await terminal.code(server, cookie)

    [row] = await server.storage._database.read(
        lambda connection: connection.execute(select(login_codes)).all()
    )

    assert row.digest == digest(code)
    assert code not in str(row)
    assert terminal.verifier not in str(row)


async def test_a_login_does_not_extend_itself(server: Client) -> None:
    """A stolen access token would otherwise let its thief in for ever."""
    known = await server.storage.find_credentials("carol")
    assert known is not None
    login = await server.let_in(known.user, lifetime=540)

    for _ in range(2):
        terminal = Terminal()
        code = await terminal.code(server, login)
        login = bearer(await terminal.exchange(server, code))

    logins = await server.storage.list_logins(known.user)
    assert len(logins) == 3
    assert len({each.expires_at for each in logins}) == 1


@pytest.mark.parametrize("event", ["disabled", "password"])
async def test_what_ends_logins_ends_codes(
    server: Client, cookie: dict[str, str], event: str
) -> None:
    terminal = Terminal()
    code = await terminal.code(server, cookie)
    known = await server.storage.find_credentials("carol")
    assert known is not None

    if event == "disabled":
        await server.storage.change_user(known.user.id, is_disabled=True, actor=Actor())
    else:
        await server.storage.set_password(known.user, "another hash")

    check_problem(await terminal.exchange(server, code), 401)


async def test_no_api_key_lets_a_terminal_in(
    server: Client, cookie: dict[str, str]
) -> None:
    key = await server.post("/keys/", json={"name": "x"}, headers=OWN | cookie)
    server.cookies.clear()

    refused = await Terminal().granted(
        server, {"Authorization": f"Bearer {key.json()['key']}"}
    )

    check_problem(refused, 403)


async def test_no_other_page_lets_a_terminal_in(
    server: Client, cookie: dict[str, str]
) -> None:
    evil = {"Origin": "https://evil.example"}

    refused = await Terminal().granted(server, cookie | evil)

    check_problem(refused, 403)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"challenge": "x"}, "challenge"),
        ({"challenge": "A" * 64}, "challenge"),
        ({"name": " "}, "name"),
        ({"name": "x" * 129}, "name"),
    ],
)
async def test_what_asks_has_to_say_how_and_who(
    server: Client, cookie: dict[str, str], fields: dict[str, str], field: str
) -> None:
    refused = await Terminal().granted(server, cookie, **fields)

    assert [e["field"] for e in check_problem(refused, 422)["errors"]] == [field]


async def test_tries_are_counted_like_logins(settings: Settings) -> None:
    settings = rated(settings, login_rate_limit="1/hour")
    async with connect(settings, ScriptedProvider()) as client:
        answers = [await Terminal().exchange(client, "lkc_0") for _ in range(2)]

    assert [one.status_code for one in answers] == [401, 429]


async def test_users_of_an_identity_provider_log_terminals_in(
    browser: Browser,
) -> None:
    client, terminal = browser.client, Terminal()
    me = await browser.me(await browser.sign_in())

    code = await terminal.code(client, {"Cookie": me["cookie"]})
    headers = bearer(await terminal.exchange(client, code))

    assert (await client.get("/me/", headers=headers)).json()["id"] == me["id"]


async def test_users_of_a_proxy_log_terminals_in(real: Settings) -> None:
    async with connect(behind(real), address=PROXY) as client:
        del client.headers["authorization"]
        cookie = cookie_of(await client.get(PATH, headers=DORA))
        client.cookies.clear()
        terminal = Terminal()
        code = await terminal.code(client, cookie)
        headers = bearer(await terminal.exchange(client, code))
        found = (await client.get("/me/", headers=headers)).json()

    assert found["username"] == "dora"
