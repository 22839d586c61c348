"""Service accounts: users without a login, whose keys outlive who made them."""

from pathlib import Path
from typing import Any

import pytest

from llamakeep.api.accounts.demo import add_demo_users
from llamakeep.domain import AuditKind, User, UserRole
from llamakeep.errors import StorageUnavailable, WrongKindOfUser
from llamakeep.storage import open_storage
from tests.api.http.test_bad_input import check_problem
from tests.api.serving import PROMPT, Client

WRONG_KIND = "urn:llamakeep:problem:wrong-kind-of-user"


@pytest.fixture(autouse=True)
async def root(client: Client) -> User:
    """An administrator, as whom `client` speaks."""
    user = await client.storage.add_user("root", "a hash", role=UserRole.ADMIN)
    client.headers.update(await client.let_in(user))
    return user


@pytest.fixture
async def robot(client: Client) -> dict[str, Any]:
    """A service account."""
    body = {"username": "robot", "service_account": True}
    made = await client.post("/admin/users/", json=body)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def keys_of(robot: dict[str, Any]) -> str:
    return f"/admin/users/{robot['id']}/keys/"


async def new_key(
    client: Client, robot: dict[str, Any], **fields: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a key of a service account, and the header with its secret."""
    made = await client.post(keys_of(robot), json={"name": "nightly", **fields})
    assert made.status_code == 201, made.text
    return made.json(), {"Authorization": f"Bearer {made.json()['key']}"}


async def test_its_keys_outlive_the_administrator_who_made_them(
    client: Client, root: User, robot: dict[str, Any]
) -> None:
    made, headers = await new_key(client, robot)
    other = await client.storage.add_user("ruth", "a hash", role=UserRole.ADMIN)
    client.headers.update(await client.let_in(other))
    deleted = await client.delete(f"/admin/users/{root.id}")

    answer = await client.post("/prompt/", json=PROMPT, headers=headers)
    me = await client.get("/me/", headers=headers)
    listed = await client.get(keys_of(robot))

    assert (deleted.status_code, answer.status_code) == (204, 200)
    assert me.json()["username"] == "robot"
    assert [key["id"] for key in listed.json()["keys"]] == [made["id"]]
    assert "key" not in listed.json()["keys"][0]


async def test_it_is_listed_as_what_it_is(
    client: Client, robot: dict[str, Any]
) -> None:
    listed = (await client.get("/admin/users/")).json()["users"]

    assert [u["username"] for u in listed if u["service_account"]] == ["robot"]
    assert robot["service_account"]


async def test_it_never_has_a_login(client: Client, robot: dict[str, Any]) -> None:
    found = await client.storage.find_credentials("robot")
    assert found is not None

    reset = await client.post(f"/admin/users/{robot['id']}/reset")
    body = {"username": "robot", "password": "correct horse"}
    login = await client.post("/login/", json=body)

    assert check_problem(reset, 409)["type"] == WRONG_KIND
    assert login.status_code == 401
    with pytest.raises(WrongKindOfUser):
        await client.storage.set_password(found.user, "a hash")
    with pytest.raises(WrongKindOfUser):
        await client.let_in(found.user)


async def test_it_is_made_without_a_password(client: Client) -> None:
    body = {"username": "robot", "service_account": True, "password": "long enough"}

    made = await client.post("/admin/users/", json=body)

    assert check_problem(made, 422)["errors"][0]["field"] == "password"
    assert await client.storage.find_credentials("robot") is None


async def test_administrators_make_no_keys_of_people_but_revoke_them(
    client: Client,
) -> None:
    """With such a key, they could read what nobody else may."""
    alice = await client.alice()
    path = f"/admin/users/{alice.id}/keys/"
    alices = {"Authorization": "Bearer token_alice"}
    own = (await client.post("/keys/", json={"name": "laptop"}, headers=alices)).json()

    made = await client.post(path, json={"name": "spy"})
    rotated = await client.post(f"{path}{own['id']}/rotate")
    revoked = await client.delete(f"{path}{own['id']}")

    assert check_problem(made, 409)["type"] == WRONG_KIND
    assert check_problem(rotated, 409)["type"] == WRONG_KIND
    assert revoked.status_code == 204
    assert (await client.get("/keys/", headers=alices)).json()["keys"] == []


async def test_a_disabled_one_is_out_and_comes_back_with_its_keys(
    client: Client, robot: dict[str, Any]
) -> None:
    _, headers = await new_key(client, robot)
    statuses = []

    for is_disabled in (True, False):
        path = f"/admin/users/{robot['id']}"
        await client.patch(path, json={"disabled": is_disabled})
        statuses.append((await client.get("/me/", headers=headers)).status_code)

    assert statuses == [401, 200]


async def test_a_rotated_key_lets_in_and_a_revoked_one_does_not(
    client: Client, robot: dict[str, Any]
) -> None:
    made, old = await new_key(client, robot, scopes=["prompt"])
    path = f"{keys_of(robot)}{made['id']}"

    rotated = await client.post(f"{path}/rotate", json={"overlap": 60})
    await client.delete(path)

    new = {"Authorization": f"Bearer {rotated.json()['key']}"}
    assert rotated.json()["scopes"] == ["prompt"]
    assert (await client.get("/me/", headers=old)).status_code == 401
    assert (await client.get("/me/", headers=new)).status_code == 200


async def test_a_key_manages_users_only_if_its_account_may(
    client: Client, robot: dict[str, Any]
) -> None:
    body = {"name": "terraform", "scopes": ["admin"]}
    refused = await client.post(keys_of(robot), json=body)
    await client.patch(f"/admin/users/{robot['id']}", json={"role": "admin"})
    _, headers = await new_key(client, robot, scopes=["admin"])

    listed = await client.get("/admin/users/", headers=headers)

    assert refused.status_code == 403
    assert listed.status_code == 200


async def test_an_administrator_without_a_login_is_not_the_last_one(
    client: Client, root: User, robot: dict[str, Any]
) -> None:
    await client.patch(f"/admin/users/{robot['id']}", json={"role": "admin"})

    refused = await client.patch(f"/admin/users/{root.id}", json={"role": "user"})

    assert check_problem(refused, 409)["type"] == "urn:llamakeep:problem:last-admin"


async def test_the_audit_log_says_who_made_its_keys(
    client: Client, root: User, robot: dict[str, Any]
) -> None:
    made, _ = await new_key(client, robot)
    await client.delete(f"{keys_of(robot)}{made['id']}")

    revoked, created, added, *_ = await client.storage.audit()

    assert [each.kind for each in (revoked, created, added)] == [
        AuditKind.KEY_REVOKED,
        AuditKind.KEY_CREATED,
        AuditKind.USER_CREATED,
    ]
    assert {each.username for each in (revoked, created, added)} == {"robot"}
    assert {each.actor_id for each in (revoked, created, added)} == {root.id}
    assert added.detail == "user, service account"


async def test_demo_mode_does_not_open_one(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path / 'other.db'}") as storage:
        await storage.add_user("alice", None, is_service=True)

        with pytest.raises(StorageUnavailable, match="real user"):
            await add_demo_users(storage)
