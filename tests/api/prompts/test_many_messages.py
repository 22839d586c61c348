"""Requests with more messages than may be read on the event loop."""

import pytest

from llamakeep.api.prompts.reading import MOST_MESSAGES
from tests.api.serving import Client

TINY = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("path", "field", "status"),
    [
        ("/prompt/", "messages", 422),
        ("/v1/chat/completions", "messages", 400),
        ("/v1/messages", "messages", 400),
        ("/v1/responses", "input", 400),
    ],
)
async def test_more_messages_than_may_be_read_are_refused_and_not_stored(
    shared_client: Client, path: str, field: str, status: int
) -> None:
    body = {"max_tokens": 5, field: TINY * (MOST_MESSAGES + 1)}
    if field == "input":
        del body["max_tokens"]

    response = await shared_client.post(path, json=body)

    assert response.status_code == status
    assert field in response.text
    assert str(MOST_MESSAGES) in response.text
    assert await shared_client.history() == []


async def test_as_many_messages_as_may_be_are_read(client: Client) -> None:
    response = await client.post("/prompt/", json={"messages": TINY * MOST_MESSAGES})

    assert response.status_code == 200
