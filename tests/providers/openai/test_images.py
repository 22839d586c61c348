"""Images as OpenAI-compatible servers are sent them."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import Image, Message, Part, Text, ToolCall, ToolResult
from llamakeep.domain.messages import message_of
from llamakeep.errors import ImageNotFound
from llamakeep.providers.base import CompletionRequest
from llamakeep.providers.images import data_urls
from llamakeep.providers.openai.requests import request_body
from tests.images import data_url, png, reader_of, shown
from tests.providers.asking import ask, asked, request
from tests.providers.stub_server import DONE, END, STOP, delta, head

CAT, DOG = png(of=1), png(of=2)
ADDRESS = "https://example.com/cat.png"


def of(*messages: Message, kept: Collection[bytes] = (CAT, DOG)) -> CompletionRequest:
    return replace(request(), messages=messages, read_images=reader_of(*kept))


async def sent(*messages: Message) -> Any:
    asking = of(*messages)
    return request_body(asking, urls=await data_urls(asking))["messages"]


def sent_image(url: str, **fields: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


async def test_images_are_sent_in_their_place() -> None:
    cat = shown(CAT, detail="low")
    parts: list[Part] = [Text("One"), cat, Image(url=ADDRESS), Text("two")]

    [message] = await sent(message_of("user", parts, "ada"))

    assert message == {
        "role": "user",
        "content": [
            {"type": "text", "text": "One"},
            sent_image(data_url(CAT), detail="low"),
            sent_image(ADDRESS),
            {"type": "text", "text": "two"},
        ],
        "name": "ada",
    }


async def test_images_that_tools_returned_follow_their_results() -> None:
    calling = message_of("assistant", [ToolCall("a", "f"), ToolCall("b", "f")])
    results = [
        message_of("tool", [ToolResult("a", "Here:"), shown(CAT)]),
        message_of("tool", [ToolResult("b", "And:"), shown(DOG)]),
    ]
    images = {
        "role": "user",
        "content": [sent_image(data_url(CAT)), sent_image(data_url(DOG))],
    }
    last = Message("user", "Well?")

    without = await sent(calling, *results)
    followed = await sent(calling, *results, last)

    assert [one["role"] for one in without] == ["assistant", "tool", "tool", "user"]
    assert [one["content"] for one in without[1:3]] == ["Here:", "And:"]
    assert without[3:] == [images]
    assert followed[3:] == [images, {"role": "user", "content": "Well?"}]


async def test_an_image_that_was_deleted_is_not_left_out_in_silence() -> None:
    with pytest.raises(ImageNotFound, match="was deleted"):
        await data_urls(of(message_of("user", [shown(CAT), shown(DOG)]), kept=()))


async def test_the_bytes_are_read_when_they_are_sent() -> None:
    asking = of(message_of("user", [Text("What is this?"), shown(CAT)]))
    script = (head(), delta("A cat."), STOP, DONE, END)
    async with asked(*script) as (stub, provider):
        answer = await ask(provider, asking)

    assert answer.text == "A cat."
    [message] = stub.heard[0].json["messages"]
    assert message["content"][1] == sent_image(data_url(CAT))
