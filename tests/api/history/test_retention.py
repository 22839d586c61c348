"""Saying how long runs are kept, and the server keeping to it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from llamakeep.domain import UserRole, utc_now
from llamakeep.settings import Settings
from tests.api.serving import ALICE, Client, connect
from tests.fakes import ScriptedProvider
from tests.waiting import LONG_ENOUGH

NOBODY = "user_" + 26 * "0"


@pytest.fixture
def is_sweeping() -> bool:
    return True


async def admin_of(client: Client) -> dict[str, str]:
    return await client.let_in(
        await client.storage.add_user("carol", None, role=UserRole.ADMIN)
    )


async def id_of_alice(client: Client) -> str:
    return str((await client.get("/me/")).json()["id"])


async def test_a_server_deletes_what_is_too_old_by_itself(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider()) as client:
        users = await client.storage.list_users()
        [alice] = [user for user in users if user.username == "alice"]
        for days in (0, 2, 4):
            at = utc_now() - timedelta(days=days)
            await client.storage.add(alice, str(days), "", created_at=at)
    settings = settings.model_copy(update={"retention_days": 3})

    async with connect(settings, ScriptedProvider()) as client:
        async with asyncio.timeout(LONG_ENOUGH):
            while len(kept := await client.history()) > 2:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)

    assert [run["prompt"] for run in kept] == ["0", "2"]


async def test_users_see_and_shorten_how_long_their_runs_are_kept(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"retention_days": 30})
    async with connect(settings, ScriptedProvider()) as client:
        before = (await client.get("/me/")).json()
        changed = await client.patch("/me/", json={"retention_days": 7})
        refused = await client.patch("/me/", json={"retention_days": 31})
        after = (await client.get("/me/")).json()
        given_back = await client.patch("/me/", json={"retention_days": None})

    assert before["retention_days"] is None
    assert before["longest_retention_days"] == 30
    assert changed.json() == after == before | {"retention_days": 7}
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "retention_days"
    assert "30 days" in refused.json()["detail"]
    assert given_back.json() == before


async def test_administrators_say_how_long_somebodys_runs_are_kept(
    client: Client,
) -> None:
    path = f"/admin/users/{await id_of_alice(client)}"
    client.headers |= await admin_of(client)

    changed = (await client.patch(path, json={"retention_days": 90})).json()
    kept = (await client.patch(path, json={"role": "user"})).json()
    shown = (await client.get(path)).json()
    listed = (await client.get("/admin/users/")).json()["users"]
    hers = (await client.get("/me/", headers=ALICE)).json()
    given_back = (await client.patch(path, json={"retention_days": None})).json()

    assert changed["retention_days"] == 90
    assert changed == kept == shown
    assert changed in listed
    assert hers["longest_retention_days"] == 90
    assert given_back == changed | {"retention_days": None}
    events = (await client.get("/admin/audit")).json()["events"]
    assert [
        (each["username"], each["actor_username"], each["detail"])
        for each in events
        if each["kind"] == "retention.changed"
    ] == [
        ("alice", "carol", "no days of their own"),
        ("alice", "carol", "90 days"),
    ]


@pytest.mark.parametrize("days", [0, -1, 36_501, 1.5, "x", [], 10**400])
async def test_days_that_are_none_are_refused(client: Client, days: Any) -> None:
    path = f"/admin/users/{await id_of_alice(client)}"
    admin = await admin_of(client)
    body = {"retention_days": days}

    own = await client.patch("/me/", json=body)
    by_admin = await client.patch(path, json=body, headers=admin)

    assert (own.status_code, by_admin.status_code) == (422, 422)
    assert (await client.get("/me/")).json()["longest_retention_days"] is None


async def test_nobody_is_kept_for_some_days(client: Client) -> None:
    admin = await admin_of(client)

    response = await client.patch(
        f"/admin/users/{NOBODY}", json={"retention_days": 1}, headers=admin
    )

    assert response.status_code == 404
