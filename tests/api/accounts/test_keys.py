"""API keys: made once, shown once, good for what they were made for."""

from typing import Any

import pytest

from llamakeep.storage.accounts.api_keys import MOST_API_KEYS
from tests.api.http.test_bad_input import check_problem
from tests.api.serving import BOB, PROMPT, Client


async def make(client: Client, **fields: Any) -> dict[str, Any]:
    """Create a key of alice's."""
    response = await client.post("/keys/", json={"name": "laptop", **fields})
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def with_key(made: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['key']}"}


async def test_a_key_sends_prompts_and_reads_the_history(client: Client) -> None:
    headers = with_key(await make(client))

    answer = await client.post("/prompt/", json=PROMPT, headers=headers)

    assert answer.status_code == 200
    history = (await client.get("/history/", headers=headers)).json()["history"]
    assert [run["id"] for run in history] == [answer.json()["id"]]


async def test_a_keys_secret_is_shown_once(client: Client) -> None:
    made = await make(client, scopes=["prompt"], models=["scripted:parrot"])
    secret = made.pop("key")

    listed = (await client.get("/keys/")).json()["keys"]

    assert listed == [made]
    assert (await client.get(f"/keys/{made['id']}")).json() == made
    assert secret.startswith("lk_")
    assert secret.endswith(made["hint"])
    assert (made["scopes"], made["models"]) == (["prompt"], ["scripted:parrot"])
    assert made["last_used_at"] is None


async def test_two_keys_on_one_request_are_refused(client: Client) -> None:
    secrets = [(await make(client))["key"] for _ in range(2)]
    del client.headers["authorization"]

    response = await client.get("/me/", headers=[("X-API-Key", s) for s in secrets])

    problem = check_problem(response, 400)
    assert problem["type"] == "urn:llamakeep:problem:header-repeated"
    assert "`X-API-Key`" in problem["detail"]


@pytest.mark.parametrize("scheme", ["x-api-key", "Authorization"])
async def test_a_key_may_come_in_either_header(client: Client, scheme: str) -> None:
    secret = (await make(client))["key"]
    del client.headers["authorization"]
    value = secret if scheme == "x-api-key" else f"bearer {secret}"

    response = await client.get("/me/", headers={scheme: value})

    assert response.json()["username"] == "alice"


async def test_the_last_use_of_a_key_is_shown(client: Client) -> None:
    made = await make(client)
    await client.get("/me/", headers=with_key(made))

    shown = (await client.get(f"/keys/{made['id']}")).json()

    assert shown["last_used_at"] is not None


async def test_a_revoked_key_is_refused_from_the_next_request_on(
    client: Client,
) -> None:
    made = await make(client)
    before = await client.get("/me/", headers=with_key(made))

    revoked = await client.delete(f"/keys/{made['id']}")

    after = await client.get("/me/", headers=with_key(made))
    assert (before.status_code, revoked.status_code) == (200, 204)
    check_problem(after, 401)


async def test_a_rotated_key_works_until_the_overlap_ends(client: Client) -> None:
    old = await make(client, name="robot", scopes=["history"])

    body = {"overlap": 60}
    new = (await client.post(f"/keys/{old['id']}/rotate", json=body)).json()

    assert (new["name"], new["scopes"]) == ("robot", ["history"])
    for made in (old, new):
        assert (await client.get("/me/", headers=with_key(made))).status_code == 200
    shown = (await client.get(f"/keys/{old['id']}")).json()
    assert shown["expires_at"] is not None


async def test_rotating_without_overlap_ends_the_old_key_at_once(
    client: Client,
) -> None:
    old = await make(client)

    await client.post(f"/keys/{old['id']}/rotate", json={"overlap": 0})

    check_problem(await client.get("/me/", headers=with_key(old)), 401)


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("history", "POST", "/prompt/", 403),
        ("history", "POST", "/v1/chat/completions", 403),
        ("history", "POST", "/v1/responses", 403),
        ("history", "POST", "/v1/completions", 403),
        ("history", "POST", "/replicate/v1/models/a/b/predictions", 403),
        ("history", "POST", "/replicate/v1/predictions", 403),
        ("history", "POST", "/history/run_1/cancel", 403),
        ("history", "DELETE", "/history/run_1", 403),
        ("history", "DELETE", "/v1/responses/resp_1", 403),
        ("history", "DELETE", "/v1/chat/completions/chatcmpl-1", 403),
        ("prompt", "GET", "/history/", 403),
        ("prompt", "GET", "/replicate/v1/predictions", 403),
        ("prompt", "GET", "/keys/", 403),
        ("prompt", "POST", "/logout/", 403),
        ("keys", "GET", "/history/run_1", 403),
        ("keys", "GET", "/history/run_1/stream", 403),
        ("keys", "POST", "/logout/", 403),
        ("keys", "GET", "/me/", 200),
        ("keys", "GET", "/v1/models", 200),
        ("prompt", "GET", "/history/run_1", 404),
        ("history", "GET", "/history/run_1", 404),
        ("delete", "DELETE", "/history/run_1", 404),
    ],
)
async def test_a_key_may_do_what_its_scopes_say(
    client: Client, scope: str, method: str, path: str, status: int
) -> None:
    headers = with_key(await make(client, scopes=[scope]))
    body = {
        "prompt": "?",
        "model": "parrot",
        "messages": [{"role": "user", "content": "?"}],
        "input": {"prompt": "?"},
        "version": "a/b",
    }
    fields = {
        "/prompt/": ["prompt"],
        "/v1/chat/completions": ["model", "messages"],
        "/v1/completions": ["model", "prompt"],
        "/v1/responses": ["model"],
        "/replicate/v1/predictions": ["version", "input"],
        "/replicate/v1/models/a/b/predictions": ["input"],
    }.get(path)
    sent = {name: body[name] for name in fields} if fields else None

    response = await client.request(method, path, headers=headers, json=sent)

    assert response.status_code == status, response.text


async def test_a_missing_scope_is_named(client: Client) -> None:
    headers = with_key(await make(client, name="robot", scopes=["history"]))

    problem = check_problem(
        await client.post("/prompt/", json=PROMPT, headers=headers), 403
    )

    assert problem["type"] == "urn:llamakeep:problem:scope-missing"
    assert "'robot'" in problem["detail"]
    assert "`prompt`" in problem["detail"]


async def test_a_key_may_ask_only_its_models(client: Client) -> None:
    headers = with_key(await make(client, models=["scripted:eagle"]))

    problem = check_problem(
        await client.post("/prompt/", json=PROMPT, headers=headers), 422
    )

    assert problem["type"] == "urn:llamakeep:problem:unknown-model"
    assert "scripted:eagle" in problem["detail"]
    assert await client.history() == []


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({}, {"scopes": ["prompt"]}),
        ({"models": ["a:b"]}, {"scopes": ["keys"]}),
        ({"models": ["a:b"]}, {"scopes": ["keys"], "models": ["a:c"]}),
        ({"expires_at": "2100-01-01T00:00:00Z"}, {"scopes": ["keys"]}),
    ],
)
async def test_a_key_cannot_make_one_with_more_rights(
    client: Client, limits: dict[str, Any], wanted: dict[str, Any]
) -> None:
    headers = with_key(await make(client, scopes=["keys"], **limits))

    response = await client.post(
        "/keys/", json={"name": "more", **wanted}, headers=headers
    )

    check_problem(response, 403)
    assert len((await client.get("/keys/")).json()["keys"]) == 1


async def test_a_key_can_make_one_with_as_many_rights(client: Client) -> None:
    headers = with_key(await make(client, scopes=["keys", "prompt"]))

    body = {"name": "less", "scopes": ["prompt"]}
    response = await client.post("/keys/", json=body, headers=headers)

    assert response.status_code == 201


async def test_nobody_finds_another_ones_keys(client: Client) -> None:
    made = await make(client)

    for method, path in [
        ("GET", f"/keys/{made['id']}"),
        ("DELETE", f"/keys/{made['id']}"),
        ("POST", f"/keys/{made['id']}/rotate"),
    ]:
        check_problem(await client.request(method, path, headers=BOB), 404)
    assert (await client.get("/keys/", headers=BOB)).json() == {"keys": []}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["king"]}, "scopes"),
        ({"models": []}, "models"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2100-01-01T00:00:00"}, "expires_at"),
        ({"key": "lk_mine"}, "key"),
    ],
)
async def test_a_key_that_makes_no_sense_is_not_made(
    client: Client, fields: dict[str, Any], wrong: str
) -> None:
    response = await client.post("/keys/", json={"name": "laptop", **fields})

    problem = check_problem(response, 422)
    assert problem["errors"][0]["field"].startswith(wrong)
    assert (await client.get("/keys/")).json() == {"keys": []}


@pytest.mark.slow
async def test_there_are_only_so_many_keys(client: Client) -> None:
    for _ in range(MOST_API_KEYS):
        await make(client)

    check_problem(await client.post("/keys/", json={"name": "one more"}), 409)


async def test_runs_remember_the_key_that_asked(client: Client) -> None:
    made = await make(client)
    await client.post("/prompt/", json=PROMPT, headers=with_key(made))
    alice = await client.storage.find_credentials("alice")
    assert alice is not None

    [run] = await client.storage.history(alice.user)

    assert run.api_key_id == made["id"]


@pytest.mark.parametrize("overlap", [False, -1, "60", 10**9])
async def test_an_overlap_that_makes_no_sense_leaves_the_key_as_it_is(
    client: Client, overlap: Any
) -> None:
    made = await make(client)

    body = {"overlap": overlap}
    response = await client.post(f"/keys/{made['id']}/rotate", json=body)

    check_problem(response, 422)
    assert len((await client.get("/keys/")).json()["keys"]) == 1
