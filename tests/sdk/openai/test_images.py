"""OpenAI's own Python client: images, also when the server is killed."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.images import data_url, hash_of, png
from tests.sdk.clients import history, openai_of
from tests.sdk.site import ALICE, ToolSite
from tests.tool_upstream import MODEL
from tests.waiting import LONG_ENOUGH

PNG = png()
ADDRESS = "https://example.com/cat.png"


@pytest.fixture
def client(tool_site: ToolSite) -> Iterator[OpenAI]:
    with openai_of(tool_site) as client:
        yield client


def shown(*urls: str) -> list[Any]:
    return [{"type": "image_url", "image_url": {"url": url}} for url in urls]


def picture(site: ToolSite, link: str) -> bytes:
    """Return an image of the history."""
    headers = {"Authorization": f"Bearer {ALICE}"}
    answer = httpx2.get(site.origin + link, headers=headers)
    assert answer.headers["content-type"] == "image/png"
    return answer.raise_for_status().content


def test_images_reach_the_model_from_chat_completions_and_responses(
    tool_site: ToolSite, client: OpenAI
) -> None:
    content = [{"type": "text", "text": "What is this?"}, *shown(data_url(PNG))]
    messages: Any = [{"role": "user", "content": [*content, *shown(ADDRESS)]}]
    chat = client.chat.completions.create(model=MODEL, messages=messages)
    tool_site.restart()
    given: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": data_url(PNG), "detail": "low"},
    ]
    response = client.responses.create(
        model=MODEL, input=[{"role": "user", "content": given}]
    )
    again = client.responses.create(
        model=MODEL, input="Sure?", previous_response_id=response.id
    )
    items = client.responses.input_items.list(response.id).data

    assert chat.choices[0].message.content == "I see 2."
    assert response.output_text == "I see 1."
    assert again.output_text == "Hello."
    first, second, third = tool_site.upstream.asked
    assert first["messages"][0]["content"] == messages[0]["content"]
    low = {"url": data_url(PNG), "detail": "low"}
    assert second["messages"][0]["content"][1]["image_url"] == low
    assert third["messages"][0] == second["messages"][0]
    run_id = response.id.replace("resp_", "run_")
    link = f"/history/{run_id}/images/{hash_of(PNG)}"
    assert items[0].content[1].image_url == tool_site.origin + link  # type: ignore[union-attr, index]
    assert picture(tool_site, link) == PNG


def test_what_is_no_image_is_a_bad_request_that_names_it(
    tool_site: ToolSite, client: OpenAI
) -> None:
    messages: Any = [{"role": "user", "content": shown("http://example.com/a.png")}]

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=messages)

    assert refused.value.param == "messages[0].content[0].image_url"
    assert tool_site.upstream.asked == []


def test_an_image_survives_a_kill_and_is_not_paid_for_twice(
    tool_site: ToolSite, client: OpenAI
) -> None:
    given: Any = [
        {"type": "input_text", "text": "Wait, what is this?"},
        {"type": "input_image", "image_url": data_url(PNG)},
    ]
    response = client.responses.create(
        model=MODEL, input=[{"role": "user", "content": given}], background=True
    )
    end = time.monotonic() + LONG_ENOUGH
    while not tool_site.upstream.asked and time.monotonic() < end:
        time.sleep(0.01)

    tool_site.restart()
    tool_site.upstream.may_answer.set()
    while response.status in {"queued", "in_progress"} and time.monotonic() < end:
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)

    [run] = history(tool_site)
    assert (response.status, run["status"]) == ("failed", "interrupted")
    assert len(tool_site.upstream.asked) == 1
    assert picture(tool_site, run["last_message"]["parts"][1]["link"]) == PNG
