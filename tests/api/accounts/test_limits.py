"""Limits over HTTP: who sets them, who sees them, and what a refusal says."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from llamakeep.domain import Limits, Price, User, UserRole, utc_now
from llamakeep.settings import Settings
from tests.api.serving import ALICE, PROMPT, Client, connect
from tests.fakes import ScriptedProvider

TOOK = 7 + 3
SMALL = PROMPT | {"max_tokens": 10}


@pytest.fixture(autouse=True)
def always_the_same_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now()
    monkeypatch.setattr("llamakeep.engine.quotas.utc_now", lambda: now)
    monkeypatch.setattr("llamakeep.api.accounts.limits.utc_now", lambda: now)


@pytest.fixture
async def admin(client: Client) -> dict[str, str]:
    """The headers of an administrator."""
    user = await client.storage.add_user("root", "a hash", role=UserRole.ADMIN)
    return await client.let_in(user)


@pytest.fixture
async def alice(client: Client) -> User:
    known = await client.storage.find_credentials("alice")
    assert known is not None
    return known.user


async def bound(
    client: Client, admin: dict[str, str], user: User, **limits: Any
) -> Any:
    path = f"/admin/users/{user.id}/limits"
    answer = await client.put(path, json=limits, headers=admin)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_user_sees_what_is_left(
    client: Client, admin: dict[str, str], alice: User
) -> None:
    await bound(client, admin, alice, tokens_per_day=500, concurrent_runs=3)
    await client.post("/prompt/", json=SMALL)

    [running, tokens] = (await client.get("/me/limits")).json()["limits"]

    assert running == {
        "name": "concurrent_runs",
        "whose": "user",
        "subject": None,
        "limit": 3,
        "used": 0,
        "reserved": 0,
        "left": 3,
        "resets_at": None,
    }
    assert tokens == tokens | {"limit": 500, "used": TOOK, "left": 500 - TOOK}
    assert datetime.fromisoformat(tokens["resets_at"]) > datetime.now(UTC)


async def test_without_limits_there_is_nothing_to_see(client: Client) -> None:
    assert (await client.get("/me/limits")).json() == {"limits": []}


async def test_a_refusal_says_what_was_reached_for_people_and_for_programs(
    client: Client, admin: dict[str, str], alice: User
) -> None:
    await bound(client, admin, alice, tokens_per_day=20)

    refusal = await client.post("/prompt/", json=SMALL)

    problem = refusal.json()
    assert refusal.status_code == 429
    assert int(refusal.headers["Retry-After"]) <= 24 * 3600
    assert problem["type"] == "urn:llamakeep:problem:quota-exceeded"
    assert "nothing was stored" in problem["detail"]
    assert problem["limit"] == problem["limit"] | {
        "name": "tokens_per_day",
        "whose": "user",
        "limit": 20,
        "left": 20,
    }
    assert await client.history() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/responses", {"input": "Hi"}),
    ],
)
async def test_openai_s_clients_are_told_that_trying_again_is_no_use(
    client: Client,
    admin: dict[str, str],
    alice: User,
    path: str,
    body: dict[str, Any],
) -> None:
    await bound(client, admin, alice, tokens_per_day=1)

    refusal = await client.post(path, json=body)

    assert refusal.status_code == 429
    assert refusal.json()["error"]["code"] == "insufficient_quota"
    assert refusal.headers["x-should-retry"] == "false"


async def test_replicate_s_clients_are_told_which_limit_it_was(
    client: Client, admin: dict[str, str], alice: User
) -> None:
    await bound(client, admin, alice, tokens_per_day=1)

    refusal = await client.post(
        "/replicate/v1/models/scripted/parrot/predictions",
        json={"input": {"prompt": "Hi"}},
    )

    assert refusal.status_code == 429
    assert refusal.json()["limit"]["name"] == "tokens_per_day"


async def test_an_administrator_sets_shows_and_lifts_limits(
    client: Client, admin: dict[str, str], alice: User
) -> None:
    path = f"/admin/users/{alice.id}/limits"

    answer = await bound(client, admin, alice, dollars_per_month=2.5)

    assert answer["own"]["dollars_per_month"] == 2.5
    assert [each["name"] for each in answer["limits"]] == ["dollars_per_month"]
    assert (await client.get(path, headers=admin)).json() == answer
    assert (await bound(client, admin, alice))["own"] is None
    events = (await client.get("/admin/audit", headers=admin)).json()["events"]
    assert [e["detail"] for e in events if e["kind"] == "limits.changed"] == [
        "none",
        "dollars_per_month 2.5",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens_per_day": -1},
        {"tokens_per_day": 10**16},
        {"dollars_per_day": "NaN"},
        {"concurrent_runs": 0.5},
        {"tokens_per_month": True},
        {"tokens_per_year": 1},
    ],
)
async def test_limits_that_make_no_sense_are_refused(
    client: Client, admin: dict[str, str], alice: User, wrong: dict[str, Any]
) -> None:
    path = f"/admin/users/{alice.id}/limits"

    refusal = await client.put(path, json=wrong, headers=admin)

    assert refusal.status_code == 422
    [error] = refusal.json()["errors"]
    assert error["field"] == next(iter(wrong))


async def test_a_key_is_created_with_limits_that_nothing_made_with_it_escapes(
    client: Client,
) -> None:
    body = {
        "name": "p",
        "scopes": ["prompt", "keys"],
        "limits": {"tokens_per_day": 200},
    }
    created = (await client.post("/keys/", json=body)).json()
    headers = {"Authorization": f"Bearer {created['key']}"}

    await client.post("/prompt/", json=SMALL, headers=headers)
    [limit] = (await client.get("/me/limits", headers=headers)).json()["limits"]
    another = await client.post("/keys/", json={"name": "q"}, headers=headers)
    rotated = await client.post(f"/keys/{created['id']}/rotate", headers=headers)

    assert created["limits"]["tokens_per_day"] == 200
    assert (limit["whose"], limit["used"]) == ("api_key", TOOK)
    assert (another.status_code, rotated.status_code) == (403, 403)
    assert (await client.get("/me/limits")).json() == {"limits": []}


async def test_what_all_share_is_for_administrators_to_see(settings: Settings) -> None:
    provider = ScriptedProvider()
    provider.prices = {"parrot": Price(Decimal(1), Decimal(1))}
    limits = Limits(dollars_per_day=Decimal(5))
    settings = settings.model_copy(update={"server_limits": limits})
    async with connect(settings, provider) as client:
        root = await client.storage.add_user("root", "a hash", role=UserRole.ADMIN)
        await client.post("/prompt/", json=SMALL, headers=ALICE)

        answer = await client.get("/admin/limits", headers=await client.let_in(root))

    [limit] = answer.json()["limits"]
    assert limit == limit | {"whose": "server", "limit": 5.0, "used": TOOK / 1_000_000}
