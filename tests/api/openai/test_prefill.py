"""A last message of the assistant's, which the model continues."""

from typing import Any

import pytest

from llamakeep.domain import Capabilities, Message
from tests.api.openai.client import CHAT, error
from tests.api.serving import Client
from tests.fakes import ScriptedProvider

BEGUN: Any = [
    {"role": "user", "content": "Greet."},
    {"role": "assistant", "content": "Well: "},
]


@pytest.mark.parametrize("path", ["/prompt/", CHAT, "/v1/messages"])
async def test_a_model_continues_the_beginning_of_its_answer(
    client: Client, provider: ScriptedProvider, path: str
) -> None:
    provider.able["parrot"] = Capabilities(prefill=True)
    more = {"max_tokens": 5} if path == "/v1/messages" else {}

    first = await client.post(path, json={"messages": BEGUN, **more})
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
    ("path", "status"), [("/prompt/", 422), (CHAT, 400), ("/v1/messages", 400)]
)
async def test_a_beginning_is_refused_by_a_model_that_is_not_known_to_continue_it(
    shared_client: Client, path: str, status: int
) -> None:
    more = {"max_tokens": 5} if path == "/v1/messages" else {}

    response = await shared_client.post(path, json={"messages": BEGUN, **more})

    assert response.status_code == status
    assert "not known to continue it" in response.text
    if path == CHAT:
        assert error(response)["param"] == "messages[1].role"
    assert await shared_client.history() == []


async def test_an_assistants_last_message_is_text(shared_client: Client) -> None:
    said = {"role": "assistant", "reasoning_content": "Hm.", "content": "So"}

    response = await shared_client.post(CHAT, json={"messages": [BEGUN[0], said]})

    assert (response.status_code, error(response)["param"]) == (400, "messages[1]")
