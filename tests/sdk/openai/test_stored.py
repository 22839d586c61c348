"""OpenAI's own Python client: completions that are kept."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.sdk.clients import openai_of
from tests.sdk.site import ToolSite
from tests.tool_upstream import MODEL


@pytest.fixture
def client(tool_site: ToolSite) -> Iterator[OpenAI]:
    with openai_of(tool_site) as client:
        yield client


def asked(client: OpenAI, text: str, **metadata: str) -> str:
    messages: list[Any] = [{"role": "user", "content": text}]
    completion = client.chat.completions.create(
        model=MODEL, messages=messages, metadata=metadata, store=True
    )
    return completion.id


def test_completions_are_listed_by_their_metadata_in_pages(client: OpenAI) -> None:
    ids = [asked(client, f"{number}", list="pages") for number in range(3)]
    other = asked(client, "other", list="another")

    def listed(**wanted: Any) -> list[str]:
        page = client.chat.completions.list(limit=2, **wanted)
        return [one.id for one in page]  # it fetches the next pages, too

    assert listed(metadata={"list": "pages"}) == ids
    assert listed(metadata={"list": "pages"}, order="desc") == ids[::-1]
    assert listed(metadata={"list": "pages"}, model=f"openai:{MODEL}") == ids
    assert listed(metadata={"list": "pages"}, model="other") == []
    assert listed(metadata={"list": "pages", "other": "x"}) == []
    assert listed(after=ids[-1]) == [other]
    with pytest.raises(openai.BadRequestError) as refused:
        listed(after="nothing")
    assert refused.value.param == "after"


def test_the_metadata_of_a_completion_is_replaced(client: OpenAI) -> None:
    completion_id = asked(client, "Hi", stage="draft")

    changed = client.chat.completions.update(completion_id, metadata={"stage": "done"})

    assert changed.model_dump()["metadata"] == {"stage": "done"}
    found = client.chat.completions.list(metadata={"stage": "done"})
    assert [one.id for one in found] == [completion_id]
    assert not list(client.chat.completions.list(metadata={"stage": "draft"}))
    client.chat.completions.update(completion_id, metadata=None)
    assert not list(client.chat.completions.list(metadata={"stage": "done"}))


def test_the_messages_of_a_completion_are_listed_as_they_were_sent(
    client: OpenAI,
) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": "{}"},
    }
    sent: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it cold?", "name": "ada"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "-3"},
    ]
    completion = client.chat.completions.create(model=MODEL, messages=sent)

    pages = client.chat.completions.messages.list(completion.id, limit=3)
    found = [one.model_dump() for one in pages]

    for message, shown in zip(sent, found, strict=True):
        assert message.items() <= shown.items()
    assert found[1]["id"] == f"{completion.id}-1"
    newest = client.chat.completions.messages.list(completion.id, order="desc")
    assert [one.id for one in newest] == [one["id"] for one in found[::-1]]


def test_the_images_of_a_message_are_listed_with_its_text(client: OpenAI) -> None:
    url = {"url": "https://example.com/oslo.png", "detail": "low"}
    parts: list[Any] = [
        {"type": "text", "text": "Is it cold?"},
        {"type": "image_url", "image_url": url},
    ]
    completion = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": parts}]
    )

    [message] = client.chat.completions.messages.list(completion.id)

    assert message.content == "Is it cold?"
    assert message.model_dump(exclude_none=True)["content_parts"] == parts
