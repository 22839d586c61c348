"""Users and API keys whose texts are erased when their runs end."""

from typing import Any

import pytest

from tests.api.accounts.test_keys import make, with_key
from tests.api.history.test_retention import admin_of, id_of_alice
from tests.api.serving import ALICE, PROMPT, Client
from tests.fakes import ScriptedProvider

PREDICTION = {"input": {"prompt": "Hi"}}
PREDICTIONS = "/replicate/v1/models/scripted/parrot/predictions"


async def test_a_key_keeps_no_texts_whatever_its_requests_say(client: Client) -> None:
    made = await make(client, keeps=False)
    headers = with_key(made)

    answers = [
        await client.post("/prompt/", json=PROMPT | {"store": store}, headers=headers)
        for store in (None, True, False)
    ]
    await client.post("/prompt/", json=PROMPT)

    assert made["keeps"] is False
    for answer in answers:
        assert (answer.json()["response"], answer.json()["store"]) == (
            "Hello, world",
            False,
        )
    stored = [(run["store"], run["prompt"]) for run in await client.history()]
    assert stored == [(True, PROMPT["prompt"])] + 3 * [(False, "")]


async def test_what_replaces_a_key_keeps_no_more_than_it(client: Client) -> None:
    made = await make(client, keeps=False, scopes=["prompt", "keys"])

    other = {"name": "x", "scopes": ["prompt"]}
    by_key = [
        await client.post("/keys/", json=other | keeps, headers=with_key(made))
        for keeps in ({}, {"keeps": True}, {"keeps": False})
    ]
    rotated = await client.post(f"/keys/{made['id']}/rotate")

    assert rotated.json()["keeps"] is False
    assert [each.status_code for each in by_key] == [403, 403, 201]
    assert "`keeps`" in by_key[0].json()["detail"]


async def test_administrators_say_whether_texts_are_kept(client: Client) -> None:
    path = f"/admin/users/{await id_of_alice(client)}"
    admin = await admin_of(client)
    key = with_key(await make(client))
    before = (await client.get("/me/")).json()

    changed = await client.patch(path, json={"keeps": False}, headers=admin)
    again = await client.patch(path, json={"role": "user"}, headers=admin)
    for headers in (ALICE, key):
        answer = await client.post("/prompt/", json=PROMPT, headers=headers)
        assert answer.json()["store"] is False
    hers = (await client.get("/me/")).json()
    await client.patch(path, json={"keeps": True}, headers=admin)
    await client.post("/prompt/", json=PROMPT)

    assert changed.json()["keeps"] is again.json()["keeps"] is hers["keeps"] is False
    assert before["keeps"] is True
    assert [run["store"] for run in await client.history()] == [True, False, False]
    events = (await client.get("/admin/audit", headers=admin)).json()["events"]
    said = [each["detail"] for each in events if each["kind"] == "keeping.changed"]
    assert said == ["texts", "no texts"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/prompt/", PROMPT | {"background": True}, 422),
        ("/v1/responses", {"input": "Hi", "background": True}, 400),
        (PREDICTIONS, PREDICTION, 422),
    ],
)
async def test_a_key_that_keeps_no_texts_asks_nothing_that_is_read_later(
    client: Client,
    provider: ScriptedProvider,
    path: str,
    body: dict[str, Any],
    status: int,
) -> None:
    headers = with_key(await make(client, keeps=False))

    response = await client.post(path, json=body, headers=headers)

    assert response.status_code == status, response.text
    assert "Nothing was stored" in response.text
    assert provider.requests == []
    assert await client.history() == []


async def test_a_key_that_keeps_no_texts_adds_none_to_a_conversation(
    client: Client,
) -> None:
    headers = with_key(await make(client, keeps=False))
    items = {"items": [{"role": "user", "content": "I am Ada."}]}

    begun = await client.post("/v1/conversations", json={}, headers=headers)
    path = f"/v1/conversations/{begun.json()['id']}"
    refused = [
        await client.post(where, json=items, headers=headers)
        for where in ("/v1/conversations", f"{path}/items")
    ]

    assert [each.status_code for each in refused] == [400, 400]
    assert "Nothing was stored" in refused[0].text
    assert [run["prompt"] for run in await client.history()] == [""]


async def test_a_conversation_lists_nothing_of_what_is_not_kept(
    client: Client,
) -> None:
    kept = (await client.post("/v1/responses", json={"input": "Hi"})).json()
    conversation_id = kept["conversation"]["id"]
    asked = {"input": "Hi", "conversation": conversation_id, "store": False}
    gone = (await client.post("/v1/responses", json=asked)).json()
    path = f"/v1/conversations/{conversation_id}/items"

    items = (await client.get(path)).json()["data"]
    item = await client.get(f"{path}/{gone['output'][0]['id']}")

    assert len(items) == 2
    assert items[0] == kept["output"][0]
    assert item.status_code == 404
