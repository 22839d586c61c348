"""A last message of the assistant's, which the model continues."""

from typing import Any

import pytest

from llamakeep.domain import Capabilities, Message
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, error
from tests.api.openai.responding import ask, said
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

RESPONSES = "/v1/responses"
BEGUN: Any = [
    {"role": "user", "content": "Greet."},
    {"role": "assistant", "content": "Well: "},
]


def body_of(path: str) -> dict[str, Any]:
    if path == RESPONSES:
        return {"input": BEGUN}
    more = {"max_tokens": 5} if path == "/v1/messages" else {}
    return {"messages": BEGUN, **more}


@pytest.mark.parametrize("path", ["/prompt/", CHAT, "/v1/messages", RESPONSES])
async def test_a_model_continues_the_beginning_of_its_answer(
    client: Client, provider: ScriptedProvider, path: str
) -> None:
    provider.able["parrot"] = Capabilities(prefill=True)

    first = await client.post(path, json=body_of(path))
    [run] = await client.history()
    body = {"prompt": "Again.", "conversation_id": run["conversation_id"]}
    await client.post("/prompt/", json=body)

    assert first.status_code == 200
    assert "Well: " not in first.text
    assert run["response"] == "Hello, world"
    assert run["last_message"]["role"] == "assistant"
    assert [*provider.requests[0].messages] == [
        Message("user", "Greet."),
        Message("assistant", "Well: "),
    ]
    assert [*provider.requests[1].messages] == [
        Message("user", "Greet."),
        Message("assistant", "Well: Hello, world"),
        Message("user", "Again."),
    ]


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/prompt/", 422, None),
        (CHAT, 400, "messages[1].role"),
        ("/v1/messages", 400, None),
        (RESPONSES, 400, "input[1].role"),
    ],
)
async def test_a_beginning_is_refused_by_a_model_that_is_not_known_to_continue_it(
    shared_client: Client, path: str, status: int, param: str | None
) -> None:
    response = await shared_client.post(path, json=body_of(path))

    assert response.status_code == status
    assert "not known to continue it" in response.text
    if param is not None:
        assert error(response)["param"] == param
    assert await shared_client.history() == []


async def test_an_assistants_last_message_is_text(shared_client: Client) -> None:
    said = {"role": "assistant", "reasoning_content": "Hm.", "content": "So"}

    response = await shared_client.post(CHAT, json={"messages": [BEGUN[0], said]})

    assert (response.status_code, error(response)["param"]) == (400, "messages[1]")


@pytest.mark.parametrize(
    "last",
    [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "compaction", "encrypted_content": "llamakeep:So far."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ],
)
async def test_an_assistants_last_item_is_a_message_with_text(
    shared_client: Client, last: dict[str, Any]
) -> None:
    response = await shared_client.post(RESPONSES, json={"input": [BEGUN[0], last]})

    assert (response.status_code, error(response)["param"]) == (400, "input[1]")


async def test_a_refusal_names_a_model_that_continues_an_answer(
    settings: Settings,
) -> None:
    able = ScriptedProvider(name="able", models=["cockatoo"])
    able.able["cockatoo"] = Capabilities(prefill=True)
    async with connect(settings, ScriptedProvider(), able) as client:
        response = await client.post(RESPONSES, json=body_of(RESPONSES))

    assert "such as able:cockatoo" in error(response)["message"]


async def test_a_response_can_follow_one_whose_answer_was_begun(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.able["parrot"] = Capabilities(prefill=True)
    first = await ask(client, BEGUN)

    second = await ask(client, "Again.", previous_response_id=first["id"])
    listed = await client.get(f"{RESPONSES}/{second['id']}/input_items?order=asc")

    assert said(provider) == [
        ("user", "Greet."),
        ("assistant", "Well: Hello, world"),
        ("user", "Again."),
    ]
    shown = [item["content"][0]["text"] for item in listed.json()["data"]]
    assert shown == ["Greet.", "Well: ", "Hello, world", "Again."]
