"""What administrators see of all: numbers and states, never texts."""

import asyncio
import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from llamakeep.domain import Price, UserRole, utc_now
from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from tests.api.serving import BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider


async def become_root(client: Client) -> dict[str, str]:
    root = await client.storage.add_user("root", "a hash", role=UserRole.ADMIN)
    return await client.let_in(root)


@pytest.fixture
async def root(client: Client) -> dict[str, str]:
    return await become_root(client)


async def test_runs_of_all_users_are_summed_up_without_their_texts(
    client: Client, root: dict[str, str]
) -> None:
    for headers in ({}, {}, BOB):
        await client.post("/prompt/", json={"prompt": "secret"}, headers=headers)

    by_user = await client.get("/admin/stats?by=user", headers=root)
    by_both = await client.get("/admin/stats?by=day&by=source", headers=root)
    of_bob = await client.get(
        "/admin/stats",
        params={"user_id": by_user.json()["stats"][1]["group"]},
        headers=root,
    )
    earlier = await client.get("/admin/stats?until=2020-01-01", headers=root)

    assert [
        (each["username"], each["runs"], each["output_tokens"])
        for each in by_user.json()["stats"]
    ] == [("alice", 2, 6), ("bob", 1, 3)]
    assert "secret" not in by_user.text
    [day] = by_both.json()["stats"]
    assert (day["groups"]["source"], day["username"]) == ("prompt", None)
    assert [each["username"] for each in of_bob.json()["stats"]] == ["bob"]
    assert earlier.json()["stats"] == []


async def test_usage_is_a_file_by_user_key_model_end_user_and_day_without_texts(
    client: Client, root: dict[str, str]
) -> None:
    alice, key = (
        await client.alice(),
        await client.post("/keys/", json={"name": "laptop", "scopes": ["prompt"]}),
    )
    own = {"Authorization": f"Bearer {key.json()['key']}"}
    body = {"prompt": "secret", "end_user": "4711"}
    await client.post("/prompt/", json=body, headers=own)
    await client.post("/prompt/", json=body, headers=BOB)
    facts = ["user", "api_key", "model", "end_user", "day"]

    found = await client.get(
        "/admin/stats", params={"by": facts, "format": "csv"}, headers=root
    )

    table = list(csv.DictReader(io.StringIO(found.text, newline="")))
    [of_alice] = [row for row in table if row["username"] == "alice"]
    assert [of_alice[fact] for fact in facts] == [
        alice.id,
        key.json()["id"],
        "scripted:parrot",
        "4711",
        (await client.history())[0]["created_at"][:10],
    ]
    assert [row["output_tokens"] for row in table] == ["3", "3"]
    assert "secret" not in found.text
    assert "laptop" not in found.text


async def test_a_month_is_summed_up_unless_another_time_is_named(
    client: Client, root: dict[str, str]
) -> None:
    alice = await client.alice()
    old = utc_now() - timedelta(days=31)
    await client.storage.add(alice, "old", "text", created_at=old)

    month = (await client.get("/admin/stats", headers=root)).json()
    year = (await client.get("/admin/stats?since=2020-01-01", headers=root)).json()
    unknown = await client.get("/admin/stats?user_id=user_1", headers=root)
    texts = await client.get("/admin/stats?q=old", headers=root)

    assert (month["stats"], len(year["stats"])) == ([], 1)
    assert (unknown.status_code, texts.status_code) == (404, 422)


async def test_providers_are_shown_with_what_they_are_doing(settings: Settings) -> None:
    go_on = asyncio.Event()
    settings = settings.model_copy(update={"max_running": 1})
    first = ScriptedProvider(["Hello", go_on])
    second = ScriptedProvider(name="second", models=("owl",))
    async with connect(settings, first, second) as client:
        root = await become_root(client)
        for _ in range(2):
            begun = await client.begin()
        shown = (await client.get("/admin/providers/", headers=root)).json()
        go_on.set()
        await client.ended(begun)
        idle = (await client.get("/admin/providers/", headers=root)).json()

    nothing: dict[str, Any] = {
        "circuits": [],
        "process": None,
        "last_failure": None,
        "state": "closed",
        "parallel": None,
        "recent": {"minutes": 10, "succeeded": 0, "failed": 0},
        "cost_today_usd": 0,
        "cost_this_month_usd": 0,
    }
    owl = {"name": "second", "default_model": "owl", "is_default": False}
    parrot = {"name": "scripted", "default_model": "parrot", "is_default": True}
    assert shown["providers"] == [
        parrot | nothing | {"running": 1, "waiting": 1},
        owl | nothing | {"running": 0, "waiting": 0},
    ]
    assert idle["providers"][0] == parrot | nothing | {"running": 0, "waiting": 0}


async def test_providers_come_with_the_models_of_roles(
    client: Client, root: dict[str, str]
) -> None:
    before = (await client.get("/admin/providers/", headers=root)).json()
    client.app.state.services.registry.roles = {"user": {"scripted:*", "fast"}}
    after = (await client.get("/admin/providers/", headers=root)).json()

    assert before["roles"] == {}
    assert after["roles"] == {"user": ["fast", "scripted:*"]}


async def test_an_open_circuit_and_the_last_failure_are_shown_without_texts(
    settings: Settings,
) -> None:
    refusal = ProviderUnavailable("What about secret?", retry_after=60)
    async with connect(settings, ScriptedProvider(refusal=refusal)) as client:
        root = await become_root(client)
        await client.post("/prompt/", json=PROMPT)
        response = await client.get("/admin/providers/", headers=root)

    [provider] = response.json()["providers"]
    [circuit] = provider["circuits"]
    assert (circuit["model"], circuit["state"]) == ("parrot", "open")
    assert circuit["error"] == provider["last_failure"]["type"] == refusal.code
    assert circuit["until"] > provider["last_failure"]["at"]
    assert "secret" not in response.text


async def test_what_a_provider_answered_and_cost_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.engine.providers.CACHED", 0)
    first, second = ScriptedProvider(), ScriptedProvider(name="second", models=("owl",))
    first.prices["parrot"] = Price(Decimal(1000), Decimal(0))
    async with connect(settings, first, second) as client:
        root = await become_root(client)
        for model in ("parrot", "parrot", "owl"):
            await client.post("/prompt/", json=PROMPT | {"model": model})
        second.refusal = ProviderUnavailable("Down.")
        await client.post("/prompt/", json=PROMPT | {"model": "owl"})
        shown = (await client.get("/admin/providers/", headers=root)).json()

    parrot, owl = shown["providers"]
    assert parrot["recent"] == {"minutes": 10, "succeeded": 2, "failed": 0}
    assert owl["recent"] == {"minutes": 10, "succeeded": 1, "failed": 1}
    assert parrot["cost_today_usd"] == parrot["cost_this_month_usd"] == 2 * 7 * 0.001
    assert owl["cost_today_usd"] == 0


async def test_an_upstream_that_cannot_be_connected_to_is_unreachable(
    settings: Settings,
) -> None:
    gone = ProviderUnavailable("Not there.")
    gone.was_connected = False
    async with connect(settings, ScriptedProvider(refusal=gone)) as client:
        root = await become_root(client)
        await client.post("/prompt/", json=PROMPT)
        shown = (await client.get("/admin/providers/", headers=root)).json()

    [provider] = shown["providers"]
    assert (provider["state"], provider["circuits"]) == ("unreachable", [])


async def audited(client: Client, headers: dict[str, str], **query: Any) -> list[str]:
    page = await client.get("/admin/audit", params=query, headers=headers)
    assert page.status_code == 200, page.text
    return [event["kind"] for event in page.json()["events"]]


async def test_the_audit_log_can_be_narrowed(
    client: Client, root: dict[str, str]
) -> None:
    created = await client.post(
        "/admin/users/", json={"username": "carol"}, headers=root
    )
    carol = created.json()["id"]
    await client.patch(f"/admin/users/{carol}", json={"role": "admin"}, headers=root)
    await client.post("/login/", json={"username": "bob", "password": "wrong"})
    [_, role_changed, _] = (await client.get("/admin/audit", headers=root)).json()[
        "events"
    ]

    everything = await audited(client, root)
    of_kind = await audited(client, root, kind="role.changed")
    of_carol = await audited(client, root, user_id=carol)
    by_root = await audited(client, root, actor_id=role_changed["actor_id"])
    both = await audited(client, root, user_id=carol, kind="login.failed")
    later = await audited(client, root, since=(utc_now() + timedelta(days=1)))
    before = await audited(client, root, until=(utc_now() + timedelta(days=1)))
    wrong = await client.get("/admin/audit?kind=role", headers=root)

    assert everything == ["login.failed", "role.changed", "user.created"] == before
    assert of_kind == ["role.changed"]
    assert of_carol == by_root == ["role.changed", "user.created"]
    assert both == later == []
    assert wrong.status_code == 422


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("carol", ["Carol_1", "carol"]),
        ("CAR", ["Carol_1", "carol"]),
        ("_", ["Carol_1"]),
        ("%", []),
        ("ob", ["bob"]),
        ("dave", []),
    ],
)
async def test_users_are_found_by_a_part_of_their_name(
    client: Client, root: dict[str, str], part: str, names: list[str]
) -> None:
    for name in ("carol", "Carol_1"):
        await client.storage.add_user(name, None)

    found = await client.get("/admin/users/", params={"q": part}, headers=root)

    assert [user["username"] for user in found.json()["users"]] == names


async def test_an_empty_search_lists_all_users(
    client: Client, root: dict[str, str]
) -> None:
    found = await client.get("/admin/users/?q=", headers=root)

    assert len(found.json()["users"]) == 3
