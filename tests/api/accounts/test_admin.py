"""Managing users, by those who may and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.api.accounts import admin
from llamakeep.domain import Actor, User, UserRole, new_id
from llamakeep.settings import Settings
from tests.api.http.test_bad_input import check_problem
from tests.api.openapi import PATHS
from tests.api.serving import ALICE, BOB, Client, connect
from tests.fakes import ScriptedProvider
from tests.waiting import LONG_ENOUGH

NEW = {"username": "carol", "password": "correct horse"}


@pytest.fixture
async def root(client: Client) -> User:
    """The only administrator, as whom `client` speaks."""
    user = await client.storage.add_user("root", "a hash", role=UserRole.ADMIN)
    client.headers.update(await client.let_in(user))
    return user


@pytest.fixture
async def carol(client: Client) -> User:
    return await client.storage.add_user("carol", "a hash")


async def new_key(client: Client, headers: dict[str, str], *scopes: str) -> Any:
    body = {"name": "robot", "scopes": scopes}
    return await client.post("/keys/", json=body, headers=headers)


async def pages(client: Client, path: str, name: str) -> list[dict[str, Any]]:
    """Return what is on all pages of a list."""
    found, cursor = [], ""
    while True:
        page = (await client.get(f"{path}?limit=4{cursor}")).json()
        found += page[name]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.usefixtures("root")
async def test_an_administrator_creates_a_user_who_can_log_in(client: Client) -> None:
    created = await client.post("/admin/users/", json=NEW)

    login = await client.post("/login/", json=NEW)
    assert (created.status_code, login.status_code) == (201, 200)
    shown = await client.get(f"/admin/users/{created.json()['id']}")
    assert shown.json() == created.json()
    assert created.json() == created.json() | {
        "username": "carol",
        "role": "user",
        "disabled_at": None,
    }


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "a b"}, "username"),
        ({"username": "Root"}, "username"),
        ({"password": "short"}, "password"),
        ({"role": "king"}, "role"),
        ({"disabled": True}, "disabled"),
    ],
)
async def test_a_user_that_makes_no_sense_is_not_created(
    client: Client, change: dict[str, Any], field: str
) -> None:
    response = await client.post("/admin/users/", json=NEW | change)

    check_problem(response, 422)
    assert [each["field"] for each in response.json()["errors"]] == [field]
    assert await client.storage.find_credentials("carol") is None


@pytest.mark.usefixtures("root")
async def test_users_are_listed_in_pages_newest_first(client: Client) -> None:
    more = ["carol", "dave", "erin"]
    for username in more:
        await client.storage.add_user(username, None)
    names = [each.username for each in await client.storage.page_of_users()]

    listed = await pages(client, "/admin/users/", "users")

    assert [user["username"] for user in listed] == names
    assert names == [*reversed(more), "root", "bob", "alice"]


async def test_every_door_of_administrators_is_closed_to_others(
    client: Client, root: User
) -> None:
    doors = [
        (method, path.replace("{user_id}", root.id))
        for path, methods in PATHS.items()
        for method in methods
        if path.startswith("/admin/")
    ]

    answers = [
        await client.request(method, path, json={}, headers=ALICE)
        for method, path in doors
    ]

    assert len(answers) == 19
    for answer in answers:
        check_problem(answer, 403)
        assert answer.json()["type"] == "urn:llamakeep:problem:admin-only"


@pytest.mark.usefixtures("root")
async def test_a_user_that_does_not_exist_is_not_found(client: Client) -> None:
    path = f"/admin/users/{new_id('user_')}"

    answers = [
        await client.get(path),
        await client.patch(path, json={"role": "admin"}),
        await client.delete(path),
        await client.post(f"{path}/reset"),
    ]

    for answer in answers:
        check_problem(answer, 404)


@pytest.mark.usefixtures("root")
async def test_a_role_counts_from_the_next_request_on(
    client: Client, carol: User
) -> None:
    carols = await client.let_in(carol)
    path = f"/admin/users/{carol.id}"
    statuses = []

    for role in ("admin", "user"):
        changed = await client.patch(path, json={"role": role})
        assert changed.json()["role"] == role
        listed = await client.get("/admin/users/", headers=carols)
        statuses.append(listed.status_code)

    assert statuses == [200, 403]


@pytest.mark.usefixtures("root")
async def test_a_key_manages_users_as_long_as_its_owner_may(
    client: Client, carol: User
) -> None:
    carols = await client.let_in(carol)
    refused = await new_key(client, carols, "admin")
    await client.patch(f"/admin/users/{carol.id}", json={"role": "admin"})
    made = (await new_key(client, carols, "admin")).json()
    weak = (await new_key(client, carols, "prompt")).json()
    headers = [{"Authorization": f"Bearer {each['key']}"} for each in (made, weak)]
    before = [await client.get("/admin/users/", headers=each) for each in headers]

    await client.patch(f"/admin/users/{carol.id}", json={"role": "user"})

    after = await client.get("/admin/users/", headers=headers[0])
    assert refused.status_code == 403
    assert [each.status_code for each in before] == [200, 403]
    assert before[1].json()["type"] == "urn:llamakeep:problem:scope-missing"
    assert after.status_code == 403


@pytest.mark.usefixtures("root")
async def test_a_disabled_user_is_out_at_once_and_comes_back_enabled(
    client: Client, carol: User
) -> None:
    carols = await client.let_in(carol)
    path = f"/admin/users/{carol.id}"

    disabled = await client.patch(path, json={"disabled": True})
    out = await client.get("/me/", headers=carols)
    enabled = await client.patch(path, json={"disabled": False})

    again = await client.get("/me/", headers=await client.let_in(carol))
    assert disabled.json()["disabled_at"] is not None
    assert enabled.json()["disabled_at"] is None
    assert (out.status_code, again.status_code) == (401, 200)


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "user"}, None])
async def test_the_last_administrator_stays(
    client: Client, root: User, carol: User, change: dict[str, Any] | None
) -> None:
    path = f"/admin/users/{root.id}"
    # Neither of them could manage users.
    await client.patch(f"/admin/users/{carol.id}", json={"role": "admin"})
    await client.patch(f"/admin/users/{carol.id}", json={"disabled": True})
    await client.storage.add_user("dave", None, role=UserRole.ADMIN)

    if change is None:
        refused = await client.delete(path)
    else:
        refused = await client.patch(path, json=change)

    check_problem(refused, 409)
    assert "Make another user an administrator first" in refused.json()["detail"]
    assert await client.storage.get_user(root.id) == root


async def test_an_administrator_may_leave_when_there_is_another(
    client: Client, root: User, carol: User
) -> None:
    await client.patch(f"/admin/users/{carol.id}", json={"role": "admin"})

    left = await client.delete(f"/admin/users/{root.id}")

    assert left.status_code == 204
    assert await client.storage.find_credentials("root") is None


@pytest.fixture
async def going_on(settings: Settings) -> AsyncIterator[tuple[Client, str]]:
    """An administrator's connection, and a run of bob's that goes on."""
    provider = ScriptedProvider(["A secret", asyncio.Event()])
    async with connect(settings, provider) as client:
        root = await client.storage.add_user("root", "a hash", role=UserRole.ADMIN)
        client.headers.update(BOB)
        run_id = await client.begin()
        await client.written(run_id, "A secret")
        client.headers.update(await client.let_in(root))
        yield client, run_id


async def test_disabling_a_user_stops_their_runs_and_keeps_the_history(
    going_on: tuple[Client, str],
) -> None:
    client, run_id = going_on
    [bob] = [u for u in await client.storage.list_users() if u.username == "bob"]

    await client.patch(f"/admin/users/{bob.id}", json={"disabled": True})

    async with asyncio.timeout(LONG_ENOUGH):
        while await client.storage.unfinished_runs(bob):  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.01)
    run = await client.storage.get_run(bob, run_id)
    assert (run.status, run.response) == ("canceled", "A secret")


async def test_deleting_a_user_stops_their_runs_and_leaves_nothing_behind(
    going_on: tuple[Client, str],
) -> None:
    client, _ = going_on
    made = (await new_key(client, BOB, "prompt")).json()
    [bob] = [u for u in await client.storage.list_users() if u.username == "bob"]

    deleted = await client.delete(f"/admin/users/{bob.id}")

    assert deleted.status_code == 204
    assert client.engine.running == 0
    check_problem(await client.get(f"/admin/users/{bob.id}"), 404)
    with_key = {"Authorization": f"Bearer {made['key']}"}
    for headers in (BOB, with_key):
        assert (await client.get("/me/", headers=headers)).status_code == 401
    assert await client.storage.history(bob) == []


@pytest.mark.slow
@pytest.mark.usefixtures("root")
async def test_a_user_with_a_long_history_is_gone_when_it_is_still_being_deleted(
    client: Client, carol: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "PATIENCE", 0)
    carols = await client.let_in(carol)
    for n in range(100):
        await client.storage.add(carol, f"prompt {n}", "response")
    path = f"/admin/users/{carol.id}"

    deleted = await client.delete(path)

    refused = await client.get("/me/", headers=carols)
    again = await client.delete(path)
    named = await client.post("/admin/users/", json=NEW)
    asked = await client.post("/prompt/", json={"prompt": "Hi"}, headers=ALICE)
    async with asyncio.timeout(LONG_ENOUGH):
        while not await client.storage.is_purged(carol):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    assert deleted.status_code == 202
    assert deleted.content == b""
    assert refused.status_code == 401
    check_problem(again, 404)
    assert named.status_code == 201
    assert asked.status_code == 200
    assert (await client.storage.audit())[0].kind == "user.purged"


@pytest.mark.usefixtures("root")
async def test_what_happens_to_accounts_is_in_the_audit_log(client: Client) -> None:
    browser = {"User-Agent": "browser\x7f " + "x" * 300}
    created = (await client.post("/admin/users/", json=NEW, headers=browser)).json()
    path = f"/admin/users/{created['id']}"
    await client.post("/login/", json=NEW | {"password": "wrong"})
    await client.post("/login/", json=NEW | {"username": "my password"})
    login = await client.post("/login/", json=NEW)
    carols = {"Authorization": f"Bearer {login.json()['token']}"}
    await client.patch(path, json={"role": "admin"})
    key = (await new_key(client, carols, "keys")).json()
    with_key = {"Authorization": f"Bearer {key['key']}"}
    rotated = await client.post(f"/keys/{key['id']}/rotate", headers=with_key)
    await client.delete(f"/keys/{key['id']}", headers=carols)
    await client.post("/logout/", headers=carols)
    await client.patch(path, json={"disabled": True})
    await client.patch(path, json={"disabled": False})
    await client.post(f"{path}/reset")
    await client.delete(path)

    events = await pages(client, "/admin/audit", "events")

    by, of = "actor_username", "username"
    assert [(each["kind"], each[by], each[of]) for each in reversed(events)] == [
        ("user.created", "root", "carol"),
        ("login.failed", None, "carol"),
        ("login.failed", None, None),
        ("login.succeeded", "carol", "carol"),
        ("role.changed", "root", "carol"),
        ("key.created", "carol", "carol"),
        ("key.rotated", "carol", "carol"),
        ("key.revoked", "carol", "carol"),
        ("logout", "carol", "carol"),
        ("user.disabled", "root", "carol"),
        ("user.enabled", "root", "carol"),
        ("reset.issued", "root", "carol"),
        ("user.deleted", "root", "carol"),
        ("user.purged", None, "carol"),
    ]
    assert {each["address"] for each in events[1:]} == {"127.0.0.1"}
    assert events[-1]["user_agent"] == "browser " + "x" * 247
    assert events[-1]["user_id"] == created["id"]
    [rotation] = [each for each in events if each["kind"] == "key.rotated"]
    assert rotation["api_key_id"] == key["id"]
    assert rotated.json()["id"] in rotation["detail"]
    assert "my password" not in str(events)


@pytest.mark.usefixtures("quiet")
async def test_a_login_is_one_commit_with_its_audit_event(client: Client) -> None:
    body = {"username": "alice", "password": "secret1"}
    before = client.storage.commits
    assert before is not None

    await client.post("/login/", json=body)

    assert client.storage.commits == before + 1
    [event] = await client.storage.audit()
    assert event.kind == "login.succeeded"


async def test_demo_users_are_no_administrators(client: Client) -> None:
    me = await client.get("/me/")

    assert me.json()["role"] == "user"
    assert await client.storage.audit() == []
    assert Actor().user is None
