"""OpenAI's own library keeps a conversation here, item by item."""

from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.sdk.responding import MODEL
from tests.sdk.site import Site

ADA: Any = {"role": "user", "content": "I am Ada."}
CALL: Any = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "look",
    "arguments": "{}",
}
OUTPUT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "Ada"}


def test_a_conversation_outlives_its_server(openai_client: OpenAI, site: Site) -> None:
    conversations = openai_client.conversations
    begun = conversations.create(items=[ADA, CALL], metadata={"topic": "demo"})
    added = conversations.items.create(begun.id, items=[OUTPUT])
    added_id = added.data[0].id
    assert added_id is not None
    site.restart()

    response = openai_client.responses.create(
        conversation=begun.id, input="Who am I?", model=MODEL
    )
    site.restart()
    changed = conversations.update(begun.id, metadata={"topic": "other"})
    found = conversations.retrieve(begun.id)
    # The library asks for page after page.
    items = list(conversations.items.list(begun.id, order="asc", limit=2))
    one = conversations.items.retrieve(added_id, conversation_id=begun.id)
    left = conversations.items.delete(added_id, conversation_id=begun.id)

    assert response.conversation is not None
    assert response.conversation.id == begun.id == changed.id == left.id
    assert found.metadata == {"topic": "other"}
    assert [item.type for item in items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
        "message",
    ]
    assert one == items[2]
    assert conversations.delete(begun.id).deleted
    with pytest.raises(openai.NotFoundError):
        conversations.retrieve(begun.id)


async def test_a_session_kept_in_a_conversation_is_read_written_and_cleared(
    async_openai_client: AsyncOpenAI,
) -> None:
    """Make the calls that `OpenAIConversationsSession` of OpenAI's agents makes."""
    conversations = async_openai_client.conversations
    session = (await conversations.create(items=[])).id

    response = await async_openai_client.responses.create(input=[ADA], model=MODEL)
    said: Any = [item.model_dump(exclude_unset=True) for item in response.output]
    await conversations.items.create(conversation_id=session, items=[ADA, *said])
    pages = conversations.items.list(conversation_id=session, order="asc")
    items: Any = [item.model_dump(exclude_unset=True) async for item in pages]
    again = await async_openai_client.responses.create(
        input=[*items, {"role": "user", "content": "Who am I?"}], model=MODEL
    )
    pages = conversations.items.list(conversation_id=session, order="desc", limit=1)
    [newest, *_] = [item async for item in pages]
    assert newest.id is not None
    await conversations.items.delete(newest.id, conversation_id=session)
    rest = [item async for item in conversations.items.list(session)]
    cleared = await conversations.delete(conversation_id=session)

    assert [item["role"] for item in items] == ["user", "assistant"]
    assert items[1]["content"][0]["text"] == response.output_text
    assert again.status == "completed"
    assert [item.type for item in rest] == ["message"]
    assert cleared.deleted
