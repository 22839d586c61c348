"""Conversations in the format of OpenAI's API."""

from typing import Any

import pytest

from llamakeep.domain import Message, Reasoning, Text, ToolCall, ToolResult
from llamakeep.providers.base import ItemBegun, ItemText
from tests.api.openai.client import error
from tests.api.serving import BOB, Client
from tests.fakes import ScriptedProvider
from tests.images import data_url, image, png

PNG = png()
RESPONSES = "/v1/responses"
CONVERSATIONS = "/v1/conversations"
NONE = f"conv_{'0' * 26}"
USER = {"role": "user", "content": "I am Ada."}
SAID: dict[str, Any] = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello, Ada."}],
}
CALL = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "look",
    "arguments": '{"at": "me"}',
}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "It is Ada."}
THOUGHT = {
    "type": "reasoning",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Who is it?"}],
}
IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png"}


async def begin(client: Client, *items: Any, **more: Any) -> str:
    """Begin a conversation, and return its id."""
    body = {"items": list(items), **more}
    response = await client.post(CONVERSATIONS, json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


async def add(client: Client, conversation_id: str, *items: Any) -> list[Any]:
    """Add items to a conversation, and return them as they are kept."""
    response = await client.post(
        f"{CONVERSATIONS}/{conversation_id}/items", json={"items": list(items)}
    )
    assert response.status_code == 200, response.text
    found: list[Any] = response.json()["data"]
    return found


async def items_of(client: Client, conversation_id: str, **query: Any) -> list[Any]:
    """Return the items of a conversation, from its beginning."""
    params: dict[str, Any] = {"order": "asc", "limit": 100} | query
    response = await client.get(
        f"{CONVERSATIONS}/{conversation_id}/items", params=params
    )
    assert response.status_code == 200, response.text
    found: list[Any] = response.json()["data"]
    return found


def texts_in(items: list[Any]) -> list[str]:
    """Return what is said in messages."""
    return [item["content"][0]["text"] for item in items]


async def test_a_conversation_is_there_before_anything_is_said(client: Client) -> None:
    made = await client.post(CONVERSATIONS, json={"metadata": {"topic": "demo"}})
    conversation = made.json()

    found = await client.get(f"{CONVERSATIONS}/{conversation['id']}")
    items = await client.get(f"{CONVERSATIONS}/{conversation['id']}/items")
    [own] = (await client.get("/conversations/")).json()["conversations"]

    assert type(conversation.pop("created_at")) is int
    assert conversation == {
        "id": own["id"],
        "object": "conversation",
        "metadata": {"topic": "demo"},
    }
    assert found.json() == made.json()
    assert own["title"] == ""
    assert items.json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_items_come_back_as_they_were_added(client: Client) -> None:
    conversation = await begin(client, USER)

    added = await add(client, conversation, THOUGHT, CALL, OUTPUT, SAID)

    [first, *rest] = await items_of(client, conversation)
    assert rest == added
    assert (first["role"], first["content"]) == (
        "user",
        [{"type": "input_text", "text": "I am Ada."}],
    )
    kinds = ["reasoning", "function_call", "function_call_output", "message"]
    assert [item["type"] for item in added] == kinds
    assert added[0].items() >= THOUGHT.items()
    assert added[1].items() >= CALL.items()
    assert added[2].items() >= OUTPUT.items()
    assert added[3]["content"][0]["text"] == "Hello, Ada."
    for item in (first, *rest):
        path = f"{CONVERSATIONS}/{conversation}/items/{item['id']}"
        assert (await client.get(path)).json() == item


async def test_a_model_is_told_what_was_added(
    client: Client, provider: ScriptedProvider
) -> None:
    conversation = await begin(client, USER, THOUGHT, CALL)
    await add(client, conversation, OUTPUT)

    response = await client.post(
        "/v1/responses", json={"input": "Who am I?", "conversation": conversation}
    )
    await add(client, conversation, USER)
    await client.post(
        "/prompt/", json={"prompt": "And now?", "conversation_id": conversation}
    )

    assert response.json()["conversation"] == {"id": conversation}
    call = (Reasoning("Who is it?"), ToolCall("call_1", "look", '{"at": "me"}'))
    told = (
        Message("user", "I am Ada."),
        Message("assistant", "", parts=call),
        Message("tool", "It is Ada.", parts=(ToolResult("call_1", "It is Ada."),)),
        Message("user", "Who am I?"),
    )
    assert provider.requests[0].messages == told
    assert provider.requests[1].messages == (
        *told,
        Message("assistant", "Hello, world"),
        Message("user", "I am Ada."),
        Message("user", "And now?"),
    )


async def test_a_chat_completion_lists_what_was_added_before_it(client: Client) -> None:
    conversation = await begin(client)
    await add(client, conversation, USER, SAID)
    asked = {"input": "Who am I?", "conversation": conversation}
    response = await client.post("/v1/responses", json=asked)
    completion = response.json()["id"].replace("resp_", "chatcmpl-")

    listed = await client.get(f"/v1/chat/completions/{completion}/messages")

    assert [(one["role"], one["content"]) for one in listed.json()["data"]] == [
        ("user", "I am Ada."),
        ("assistant", "Hello, Ada."),
        ("user", "Who am I?"),
    ]


async def test_a_call_that_was_added_has_to_be_answered(client: Client) -> None:
    conversation = await begin(client, USER, CALL)
    path = "/v1/responses"

    silent = await client.post(
        path, json={"input": "Well?", "conversation": conversation}
    )
    answered = await client.post(
        path, json={"input": [OUTPUT], "conversation": conversation}
    )

    assert "call_1" in error(silent)["message"]
    assert answered.status_code == 200, answered.text


async def test_a_prompt_answers_a_call_that_was_added(client: Client) -> None:
    conversation = await begin(client, USER, CALL)
    result = {"role": "tool", "tool_call_id": "call_1", "content": "It is Ada."}

    response = await client.post(
        "/prompt/", json={"messages": [result], "conversation_id": conversation}
    )

    assert response.status_code == 200, response.text


async def test_a_call_of_the_model_may_be_answered_by_what_is_added(
    client: Client, provider: ScriptedProvider
) -> None:
    conversation = await begin(client)
    asked = {"input": "Who am I?", "conversation": conversation}
    provider.script = (ItemBegun(ToolCall("call_1", "look")), ItemText("{}"))
    await client.post("/v1/responses", json=asked)
    await add(client, conversation, OUTPUT)

    response = await client.post("/v1/responses", json=asked)

    assert response.status_code == 200, response.text


async def test_the_items_of_answers_and_added_ones_are_one_list(
    client: Client,
) -> None:
    conversation = await begin(client, USER)
    await client.post(
        "/v1/responses", json={"input": "A", "conversation": conversation}
    )
    await add(client, conversation, SAID)
    await client.post("/prompt/", json={"prompt": "B", "conversation_id": conversation})

    items = await items_of(client, conversation)

    said = ["I am Ada.", "A", "Hello, world", "Hello, Ada.", "B", "Hello, world"]
    assert texts_in(items) == said


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_items_are_listed_page_by_page(client: Client, order: str) -> None:
    conversation = await begin(client, USER, USER)
    await client.post(
        "/v1/responses", json={"input": "A", "conversation": conversation}
    )
    await add(client, conversation, SAID)
    expected = await items_of(client, conversation)
    path = f"{CONVERSATIONS}/{conversation}/items"

    found: list[Any] = []
    query: dict[str, Any] = {"limit": 2, "order": order}
    while True:
        page = (await client.get(path, params=query)).json()
        found += page["data"]
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]

    assert len(expected) == 5
    assert found == (expected if order == "asc" else expected[::-1])


async def test_a_page_ends_where_its_texts_are_long(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await begin(client, USER, USER)
    monkeypatch.setattr("llamakeep.api.openai.conversations.MUCH", 5)

    page = (await client.get(f"{CONVERSATIONS}/{conversation}/items")).json()

    assert (len(page["data"]), page["has_more"]) == (1, True)


async def test_an_added_item_can_be_deleted_and_one_of_a_response_cannot(
    client: Client,
) -> None:
    conversation = await begin(client, USER, SAID)
    await client.post(
        "/v1/responses", json={"input": "A", "conversation": conversation}
    )
    first, _, *response = await items_of(client, conversation)
    path = f"{CONVERSATIONS}/{conversation}/items"

    deleted = await client.delete(f"{path}/{first['id']}")
    refused = [await client.delete(f"{path}/{item['id']}") for item in response]

    assert deleted.json()["id"] == conversation
    assert (await client.get(f"{path}/{first['id']}")).status_code == 404
    assert [error(one)["param"] for one in refused] == ["item_id", "item_id"]
    assert texts_in(await items_of(client, conversation)) == [
        "Hello, Ada.",
        "A",
        "Hello, world",
    ]


async def test_metadata_is_that_of_the_first_run(client: Client) -> None:
    asked = {"prompt": "Hi", "metadata": {"topic": "a"}}
    own = (await client.post("/prompt/", json=asked)).json()["conversation_id"]
    path = f"{CONVERSATIONS}/{own}"

    before = (await client.get(path)).json()["metadata"]
    changed = await client.post(path, json={"metadata": {"topic": "b"}})
    found = await client.get("/history/", params={"tag": "topic:b"})
    emptied = await client.post(path, json={"metadata": None})

    assert before == {"topic": "a"}
    assert changed.json()["metadata"] == {"topic": "b"}
    assert len(found.json()["history"]) == 1
    assert emptied.json()["metadata"] == {}


async def test_a_deleted_conversation_is_gone_with_all_that_was_in_it(
    client: Client,
) -> None:
    conversation = await begin(client, USER)
    path = f"{CONVERSATIONS}/{conversation}"

    deleted = await client.delete(path)

    assert deleted.json() == {
        "id": conversation,
        "object": "conversation.deleted",
        "deleted": True,
    }
    assert (await client.get(path)).status_code == 404
    assert await client.history() == []


async def test_the_history_has_what_was_added_and_can_be_moved(client: Client) -> None:
    conversation = await begin(client, USER, CALL, OUTPUT, metadata={"topic": "a"})
    exported = await client.get("/history/export")
    [found] = (await client.get("/history/?q=ada&sort=newest")).json()["history"][:1]

    await client.delete(f"{CONVERSATIONS}/{conversation}")
    imported = await client.post(
        "/history/import",
        content=exported.content,
        headers={"content-type": "application/x-ndjson"},
    )

    assert found["model"] == "client:none"
    assert imported.json()["imported"] == 4, imported.text
    kinds = [item["type"] for item in await items_of(client, conversation)]
    assert kinds == ["message", "function_call", "function_call_output"]
    found = (await client.get(f"{CONVERSATIONS}/{conversation}")).json()
    assert found["metadata"] == {"topic": "a"}


async def test_the_first_words_are_the_title(client: Client) -> None:
    await begin(client, USER)

    [own] = (await client.get("/conversations/")).json()["conversations"]

    assert own["title"] == "I am Ada."


async def test_nothing_that_was_added_takes_the_place_of_the_system_prompt(
    client: Client, provider: ScriptedProvider
) -> None:
    asked = {"prompt": "Hi", "system_prompt": "Be brief."}
    own = (await client.post("/prompt/", json=asked)).json()["conversation_id"]
    await add(client, own, USER)

    await client.post("/prompt/", json={"prompt": "Hi", "conversation_id": own})

    assert provider.requests[1].messages[0] == Message("system", "Be brief.")


async def test_a_text_and_a_refusal_in_one_message_are_two_items(
    client: Client,
) -> None:
    content = [
        {"type": "output_text", "text": "No."},
        {"type": "refusal", "refusal": "I will not."},
    ]
    conversation = await begin(client, {"role": "assistant", "content": content})

    items = await items_of(client, conversation)

    assert [item["content"][0]["type"] for item in items] == ["output_text", "refusal"]


async def test_images_are_kept_shown_and_read_back_by_their_address(
    client: Client, provider: ScriptedProvider
) -> None:
    kept = {"type": "input_image", "image_url": data_url(PNG), "detail": "low"}
    text = {"type": "input_text", "text": "What is this?"}
    conversation = await begin(client, {"role": "user", "content": [text, kept]})
    output = OUTPUT | {"output": [text, kept]}
    await add(client, conversation, {"role": "user", "content": [IMAGE]}, CALL, output)

    items = await items_of(client, conversation)
    [_, shown] = items[0]["content"]
    found = await client.get(shown["image_url"])
    await client.post(RESPONSES, json={"input": [*items, USER]})
    await client.post(RESPONSES, json={"input": "?", "conversation": conversation})

    assert found.content == PNG
    assert [item["type"] for item in items] == [
        *("message", "message", "function_call", "function_call_output")
    ]
    for request in provider.requests:
        asked, elsewhere, _, returned, _ = request.messages
        assert asked.parts == (Text("What is this?"), image(PNG, detail="low"))
        assert elsewhere.parts[0].text == IMAGE["image_url"]
        assert returned.parts[1] == image(PNG, detail="low")
    assert len(provider.requests) == 2


async def test_an_image_is_exported_and_imported_with_its_conversation(
    client: Client,
) -> None:
    shown = {"type": "input_image", "image_url": data_url(PNG)}
    conversation = await begin(client, {"role": "user", "content": [shown]})
    before = await items_of(client, conversation)
    exported = (await client.get("/history/export")).content
    await client.delete(f"{CONVERSATIONS}/{conversation}")

    headers = {"content-type": "application/x-ndjson"}
    await client.post("/history/import", content=exported, headers=headers)

    assert await items_of(client, conversation) == before
    found = await client.get(before[0]["content"][0]["image_url"])
    assert found.content == PNG


async def test_an_image_goes_with_its_conversation(client: Client) -> None:
    shown = {"type": "input_image", "image_url": data_url(PNG)}
    conversation = await begin(client, {"role": "user", "content": [shown]})
    [item] = await items_of(client, conversation)

    await client.delete(f"{CONVERSATIONS}/{conversation}")

    gone = await client.get(item["content"][0]["image_url"])
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "user"}, "items[0].content"),
        ({"role": "king", "content": "Hi"}, "items[0].role"),
        ({"type": "web_search_call"}, "items[0].type"),
        (
            {"role": "user", "content": [IMAGE | {"image_url": "http://a.example"}]},
            "items[0].content[0].image_url",
        ),
        (
            {"role": "user", "content": [IMAGE | {"file_id": "file_1"}]},
            "items[0].content[0].file_id",
        ),
        ({**CALL, "arguments": {}}, "items[0].arguments"),
        ({**USER, "weight": 1}, "items[0].weight"),
    ],
)
async def test_an_item_that_cannot_be_kept_is_refused_by_name(
    shared_client: Client, item: Any, param: str
) -> None:
    response = await shared_client.post(CONVERSATIONS, json={"items": [item]})

    assert response.status_code == 400
    assert error(response)["param"] == param


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "", {"metadata": {}}),
        ("DELETE", "", None),
        ("GET", "/items", None),
        ("POST", "/items", {"items": [USER]}),
        ("GET", f"/items/msg_{'0' * 26}_0", None),
        ("GET", "/items/nothing", None),
        ("DELETE", f"/items/msg_{'0' * 26}_0", None),
    ],
)
async def test_another_users_conversation_is_none(
    shared_client: Client, method: str, path: str, body: Any
) -> None:
    for conversation in (NONE, "emb_1"):
        response = await shared_client.request(
            method, f"{CONVERSATIONS}/{conversation}{path}", json=body
        )
        assert response.status_code == 404, response.text


async def test_only_their_owner_sees_items(client: Client) -> None:
    conversation = await begin(client, USER)
    [item] = await items_of(client, conversation)
    other = (await client.post(CONVERSATIONS, json={}, headers=BOB)).json()["id"]
    theirs = f"{CONVERSATIONS}/{other}/items"

    by_bob = await client.get(
        f"{CONVERSATIONS}/{conversation}/items/{item['id']}", headers=BOB
    )
    elsewhere = await client.get(f"{theirs}/{item['id']}", headers=BOB)
    after = await client.get(theirs, params={"after": item["id"]}, headers=BOB)

    assert by_bob.status_code == elsewhere.status_code == 404
    assert error(after)["param"] == "after"


async def test_more_about_items_than_there_is_is_refused(
    shared_client: Client,
) -> None:
    included = {"include": "everything"}

    for method, path in [("GET", ""), ("POST", ""), ("GET", "/msg_1")]:
        response = await shared_client.request(
            method,
            f"{CONVERSATIONS}/{NONE}/items{path}",
            params=included,
            json={"items": [USER]} if method == "POST" else None,
        )
        assert error(response)["param"] == "include"
