"""Invitations: one link, one account."""

import asyncio
from typing import Any

import httpx2
import pytest
from pydantic import HttpUrl
from sqlalchemy import select

from llamakeep.credentials.tokens import digest, new_invitation_token
from llamakeep.domain import AuditKind, UserRole
from llamakeep.settings import Settings
from llamakeep.storage.accounts.tables import invitations
from tests.api.accounts.identity_provider import (
    Browser,
)
from tests.api.accounts.logins import OWN
from tests.api.accounts.test_rates import rated
from tests.api.http.test_bad_input import check_problem
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

ACCEPT = "/invitations/accept"
LIST = "/admin/invitations/"
DORA = {"username": "dora", "password": "correct horse battery"}
REFUSED = "urn:llamakeep:problem:invitation-refused"


@pytest.fixture
async def inviting(server: Client) -> Client:
    """A server, as seen by an administrator."""
    user = await server.storage.add_user("root", "a hash", role=UserRole.ADMIN)
    server.headers.update(await server.let_in(user))
    return server


async def invite(client: Client, **fields: Any) -> dict[str, Any]:
    made = await client.post(LIST, json=fields)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def accept(
    client: Client, made: dict[str, Any], **fields: Any
) -> httpx2.Response:
    """Do what somebody does who has no login."""
    body = {**DORA, "token": made["token"], **fields}
    return await client.post(ACCEPT, json=body, headers={"Authorization": ""})


async def listed(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(LIST)).json()["invitations"]
    return found


async def test_an_invitation_makes_one_account_that_logs_in(inviting: Client) -> None:
    made = await invite(inviting)

    joined = await accept(inviting, made)
    login = await inviting.post("/login/", json=DORA)
    again = await accept(inviting, made, username="erin")

    assert made["url"] == f"http://test/join#{made['token']}"
    assert (joined.status_code, login.status_code) == (201, 200)
    assert (joined.json()["username"], joined.json()["role"]) == ("dora", "user")
    assert check_problem(again, 401)["type"] == REFUSED
    assert await inviting.storage.find_credentials("erin") is None
    assert await listed(inviting) == []


async def test_the_account_has_what_the_invitation_says(
    inviting: Client,
) -> None:
    limits = {"tokens_per_day": 1000, "dollars_per_month": 5.5}
    made = await invite(
        inviting,
        role="admin",
        limits=limits,
        models=["fast", "own:*"],
        email="dora@example.com",
    )
    [shown] = await listed(inviting)

    joined = (await accept(inviting, made)).json()

    user = await inviting.storage.get_user(joined["id"])
    assert user.role is UserRole.ADMIN
    assert user.limits is not None
    assert user.limits.tokens_per_day == 1000
    assert user.models == frozenset({"fast", "own:*"})
    assert shown["models"] == made["models"] == ["fast", "own:*"]
    events = await inviting.storage.audit()
    used, created, invited = events[:3]
    assert [used.kind, created.kind, invited.kind] == [
        AuditKind.INVITATION_USED,
        AuditKind.USER_CREATED,
        AuditKind.INVITATION_CREATED,
    ]
    assert used.username == created.username == "dora"
    assert invited.actor_username == "root"
    for event in (used, invited):
        assert event.detail is not None
        assert event.detail.startswith(f"{made['id']}, admin, dora@example.com, ")
        assert made["token"] not in event.detail


async def test_open_invitations_are_listed_without_their_tokens(
    inviting: Client,
) -> None:
    first = await invite(inviting, email="dora@example.com", days=30)
    second = await invite(inviting)

    page = (await inviting.get(LIST, params={"limit": 1})).json()
    cursor = {"cursor": page["next_cursor"]}
    rest = (await inviting.get(LIST, params=cursor)).json()

    assert [each["id"] for each in page["invitations"]] == [second["id"]]
    assert [each["id"] for each in rest["invitations"]] == [first["id"]]
    assert rest["next_cursor"] is None
    assert "token" not in str([page, rest])


async def test_only_the_digest_of_a_token_is_kept(inviting: Client) -> None:
    made = await invite(inviting)

    [row] = await inviting.storage._database.read(
        lambda connection: connection.execute(select(invitations)).all()
    )

    assert row.digest == digest(made["token"])
    assert made["token"] not in str(row)


async def test_a_revoked_invitation_is_good_for_nothing(inviting: Client) -> None:
    made = await invite(inviting)

    revoked = await inviting.delete(f"{LIST}{made['id']}")
    again = await inviting.delete(f"{LIST}{made['id']}")

    assert revoked.status_code == 204
    check_problem(again, 404)
    check_problem(await accept(inviting, made), 401)
    [event, *_] = await inviting.storage.audit()
    assert event.kind is AuditKind.INVITATION_REVOKED


@pytest.mark.parametrize(
    "change", [{"disabled": True}, {"role": "user"}, None], ids=str
)
async def test_invitations_end_with_the_rights_of_who_made_them(
    inviting: Client, change: dict[str, Any] | None
) -> None:
    storage = inviting.storage
    other = await storage.add_user("other", "a hash", role=UserRole.ADMIN)
    theirs = await inviting.let_in(other)
    made = (await inviting.post(LIST, json={}, headers=theirs)).json()
    kept = await invite(inviting)

    path = f"/admin/users/{other.id}"
    if change is None:
        done = await inviting.delete(path)
    else:
        done = await inviting.patch(path, json=change)

    assert done.is_success
    check_problem(await accept(inviting, made), 401)
    assert [each["id"] for each in await listed(inviting)] == [kept["id"]]
    events = {each.kind: each for each in await storage.audit()}
    detail = events[AuditKind.INVITATION_REVOKED].detail
    assert detail is not None
    assert detail.startswith(made["id"])
    assert events[AuditKind.INVITATION_REVOKED].actor_username == "root"


async def test_an_expired_invitation_is_good_for_nothing(inviting: Client) -> None:
    made = await invite(inviting)
    past = invitations.update().values(expires_at=invitations.c.created_at)
    await inviting.storage._database.write(lambda c: c.execute(past).close())

    check_problem(await accept(inviting, made), 401)
    check_problem(await inviting.delete(f"{LIST}{made['id']}"), 404)
    assert await listed(inviting) == []


@pytest.mark.parametrize(
    "token", ["x", pytest.param(new_invitation_token(), id="well-formed"), "lki_ä"]
)
async def test_a_guessed_token_makes_no_account(inviting: Client, token: str) -> None:
    check_problem(await accept(inviting, {"token": token}), 401)
    assert await inviting.storage.find_credentials("dora") is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"username": "Root"}, "username"),
        ({"username": "a b"}, "username"),
        ({"password": "short"}, "password"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_what_is_not_accepted_leaves_the_invitation_open(
    inviting: Client, fields: dict[str, str], field: str
) -> None:
    made = await invite(inviting)

    refused = await accept(inviting, made, **fields)

    assert [e["field"] for e in check_problem(refused, 422)["errors"]] == [field]
    assert (await accept(inviting, made)).status_code == 201


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"role": "king"}, "role"),
        ({"days": 0}, "days"),
        ({"days": 31}, "days"),
        ({"email": " "}, "email"),
        ({"email": "x" * 255}, "email"),
        ({"limits": {"tokens_per_day": -1}}, "limits.tokens_per_day"),
    ],
)
async def test_an_invitation_that_makes_no_sense_is_not_made(
    inviting: Client, fields: dict[str, Any], field: str
) -> None:
    refused = await inviting.post(LIST, json=fields)

    assert [e["field"] for e in check_problem(refused, 422)["errors"]] == [field]
    assert await listed(inviting) == []


async def test_of_two_people_with_one_link_one_gets_an_account(
    inviting: Client,
) -> None:
    made = await invite(inviting)

    answers = await asyncio.gather(
        *(accept(inviting, made, username=name) for name in ("dora", "erin", "fay"))
    )

    assert sorted(one.status_code for one in answers) == [201, 401, 401]
    names = {user.username for user in await inviting.storage.list_users()}
    assert len(names & {"dora", "erin", "fay"}) == 1


async def test_a_link_leads_to_where_a_proxy_has_the_server(real: Settings) -> None:
    url = HttpUrl("https://llamas.example/llm")
    for changes in ({"root_path": "/llm"}, {"public_url": url}):
        async with connect(real.model_copy(update=changes)) as client:
            root = await client.storage.add_user(
                f"root-{len(changes)}-{next(iter(changes))}", None, role=UserRole.ADMIN
            )
            client.headers.update(await client.let_in(root))
            made = await invite(client)
        at = "https://llamas.example" if "public_url" in changes else "http://test"
        assert made["url"].startswith(f"{at}/llm/join#lki_")


async def test_tries_are_counted_like_logins(settings: Settings) -> None:
    body = {**DORA, "token": "lki_0"}
    settings = rated(settings, login_rate_limit="1/hour")
    async with connect(settings, ScriptedProvider()) as client:
        statuses = [(await client.post(ACCEPT, json=body)).status_code for _ in "12"]

    assert statuses == [401, 429]


class Invited(Browser):
    """A browser in which somebody has opened a link."""

    token = ""

    async def begin(self) -> None:
        response = await self.client.post(
            "/login/oidc/", json={"token": self.token}, headers=OWN
        )
        self.client.cookies.clear()
        assert response.status_code == 200, response.text
        self.cookie = response.headers["set-cookie"].partition(";")[0]
        self.query = dict(httpx2.URL(response.json()["url"]).params)


@pytest.fixture
def invited(browser: Browser) -> Invited:
    return Invited(browser.client, browser.provider)


async def sent_to(invited: Invited, **fields: Any) -> dict[str, Any]:
    """Send the browser an invitation."""
    root = await invited.client.storage.find_credentials("root")
    user = root.user if root else None
    if user is None:
        user = await invited.client.storage.add_user(
            "root", "a hash", role=UserRole.ADMIN
        )
    headers = await invited.client.let_in(user)
    made = await invited.client.post(LIST, json=fields, headers=headers)
    invited.token = made.json()["token"]
    found: dict[str, Any] = made.json()
    return found


async def test_a_new_user_signs_in_by_an_invitation(invited: Invited) -> None:
    await sent_to(invited, role="admin", limits={"tokens_per_day": 7})

    me = await invited.me(await invited.sign_in())
    used = await invited.client.post(
        "/login/oidc/", json={"token": invited.token}, headers=OWN
    )

    user = await invited.client.storage.get_user(me["id"])
    assert (user.username, user.role) == ("dora", UserRole.ADMIN)
    assert user.limits is not None
    assert check_problem(used, 401)["type"] == REFUSED


async def test_an_invitation_that_is_used_meanwhile_creates_nobody(
    invited: Invited, caplog: pytest.LogCaptureFixture
) -> None:
    made = await sent_to(invited)
    await invited.begin()
    await accept(invited.client, made, username="erin")
    invited.provider.issue(invited.provider.claims(invited.query["nonce"]))

    late = await invited.come_back()

    assert late.status_code == 401
    assert "invitation" in late.text
    assert "the invitation is not valid" in caplog.text
    assert await invited.client.storage.find_credentials("dora") is None


async def test_who_is_here_already_leaves_the_invitation_open(
    invited: Invited,
) -> None:
    await sent_to(invited, role="admin")
    me = await invited.me(await Browser.sign_in(invited))
    await sent_to(invited, role="admin")

    again = await invited.me(await invited.sign_in())

    assert again["id"] == me["id"]
    await invited.begin()  # it is not used


async def test_only_the_servers_own_page_begins_a_sign_in_by_invitation(
    invited: Invited,
) -> None:
    await sent_to(invited)
    body = {"token": invited.token}

    foreign = await invited.client.post(
        "/login/oidc/", json=body, headers={"Origin": "https://evil.example"}
    )

    assert foreign.status_code == 403
    assert "set-cookie" not in foreign.headers
