"""Which models and aliases administrators let a user ask."""

from typing import Any

import pytest

from llamakeep.domain import UserRole
from tests.api.serving import PROMPT, Client


@pytest.fixture
async def root(client: Client) -> dict[str, str]:
    return await client.let_in(
        await client.storage.add_user("root", "a hash", role=UserRole.ADMIN)
    )


async def let_ask(client: Client, root: dict[str, str], models: Any) -> Any:
    alice = await client.alice()
    body = {"models": models}
    return await client.patch(f"/admin/users/{alice.id}", json=body, headers=root)


async def test_a_user_asks_what_is_allowed_from_the_next_request_on(
    client: Client, root: dict[str, str]
) -> None:
    before = await client.post("/prompt/", json=PROMPT)
    changed = await let_ask(client, root, ["other:*", "fast"])
    refused = await client.post("/prompt/", json=PROMPT)
    listed = await client.get("/models/")
    again = await let_ask(client, root, None)
    answered = await client.post("/prompt/", json=PROMPT)

    assert (before.status_code, answered.status_code) == (200, 200)
    assert changed.json()["models"] == ["fast", "other:*"]
    assert again.json()["models"] is None
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:llamakeep:problem:unknown-model"
    assert "You may not ask the default model" in refused.json()["detail"]
    assert listed.json()["models"] == []
    assert len(await client.history()) == 2


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/models/scripted:parrot", {}),
        ("/v1/models/scripted:parrot", {"anthropic-version": "2023-06-01"}),
        ("/replicate/v1/models/scripted/parrot", {}),
        ("/replicate/v1/models/scripted/parrot/versions", {}),
    ],
)
async def test_nothing_is_said_of_a_model_that_may_not_be_asked(
    client: Client, root: dict[str, str], path: str, headers: dict[str, str]
) -> None:
    before = await client.get(path, headers=headers)
    await let_ask(client, root, ["other:*"])
    after = await client.get(path, headers=headers)
    listed = await client.get("/replicate/v1/models")

    assert (before.status_code, after.status_code) == (200, 404)
    assert listed.json()["results"] == []


async def test_a_key_of_the_user_may_ask_no_more(
    client: Client, root: dict[str, str]
) -> None:
    made = await client.post(
        "/keys/", json={"name": "mine", "models": ["scripted:parrot"]}
    )
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    await let_ask(client, root, ["other:*"])

    refused = await client.post("/prompt/", json=PROMPT, headers=headers)

    assert refused.status_code == 422


async def test_the_audit_log_says_what_may_be_asked(
    client: Client, root: dict[str, str]
) -> None:
    for models in (["b:*", "a"], None):
        await let_ask(client, root, models)

    page = await client.get("/admin/audit?kind=models.changed", headers=root)

    details = [each["detail"] for each in page.json()["events"]]
    assert details == ["all", "a, b:*"]


@pytest.mark.parametrize("models", [[], [""], "fast", ["a"] * 101])
async def test_what_is_no_list_of_models_is_refused(
    client: Client, root: dict[str, str], models: Any
) -> None:
    assert (await let_ask(client, root, models)).status_code == 422
