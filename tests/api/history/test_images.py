"""Images in prompts: kept before the model is asked, shown, exported and deleted."""

import asyncio
import gc
import json
import tracemalloc
from typing import Any

import pytest
from pydantic import ByteSize

from llamakeep.domain import Image, Part, Text
from llamakeep.domain.messages import message_of
from llamakeep.limits import readers
from llamakeep.providers.base import IMAGE_URLS, IMAGES
from llamakeep.settings import Settings
from tests.api.openai.client import CHAT, error
from tests.api.serving import BOB, Client, connect
from tests.api.test_work import send, weighing
from tests.fakes import ScriptedProvider
from tests.images import JPEG, data_url, hash_of, image, png
from tests.waiting import until

PNG = png()
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
MIB = 1024 * 1024
ADDRESS = "https://example.com/cat.png"


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def shown(url: str = "", **fields: Any) -> dict[str, Any]:
    """Return an image as chat completions have it."""
    url = url or data_url(PNG)
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def chat(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*content]}], **fields}


def responding(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [*content]}], **fields}


def messages(url: str) -> dict[str, Any]:
    """Return a request for a message about an image, as Anthropic's API has it."""
    block = {"type": "image", "source": {"type": "url", "url": url}}
    return {"max_tokens": 9, "messages": [{"role": "user", "content": [block]}]}


BY_PATH = {
    CHAT: chat(text("What is this?"), shown(detail="low")),
    RESPONSES: responding(
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": data_url(PNG), "detail": "low"},
    ),
}


async def bytes_given(provider: ScriptedProvider) -> dict[str, bytes]:
    """Return the bytes of the images that the model was last given."""
    request = provider.requests[-1]
    assert request.read_images is not None
    return dict(await request.read_images([hash_of(PNG), hash_of(JPEG)]))


@pytest.mark.parametrize("path", BY_PATH)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_model_is_given_the_image_that_is_kept(
    client: Client, provider: ScriptedProvider, path: str, *, is_streamed: bool
) -> None:
    response = await client.post(path, json=BY_PATH[path] | {"stream": is_streamed})
    [run] = await client.history()
    part = run["last_message"]["parts"][1]
    found = await client.get(part["link"])

    assert response.status_code == 200
    kept = Image(hash_of(PNG), "image/png", len(PNG), detail="low")
    said: list[Part] = [Text("What is this?"), kept]
    assert list(provider.requests[0].messages) == [message_of("user", said)]
    assert await bytes_given(provider) == {hash_of(PNG): PNG}
    assert run["prompt"] == "What is this?"
    assert part == {
        "type": "image",
        "sha256": hash_of(PNG),
        "media_type": "image/png",
        "size": len(PNG),
        "detail": "low",
        "link": f"/history/{run['id']}/images/{hash_of(PNG)}",
    }
    assert found.content == PNG
    assert "base64" not in json.dumps(run)


async def test_an_address_is_handed_on_as_it_is(
    client: Client, provider: ScriptedProvider
) -> None:
    body = chat(shown(ADDRESS), text("And this?"), shown(ADDRESS, detail="high"))

    response = await client.post(CHAT, json=body)
    [run] = await client.history()

    assert response.status_code == 200
    parts: list[Part] = [Image(url=ADDRESS), Text("And this?")]
    parts.append(Image(url=ADDRESS, detail="high"))
    assert list(provider.requests[0].messages) == [message_of("user", parts)]
    assert run["last_message"]["parts"][0] == {"type": "image", "url": ADDRESS}


async def test_texts_around_an_image_stay_apart(
    client: Client, provider: ScriptedProvider
) -> None:
    body = chat(text("One"), text("two"), shown(), text("three"))

    await client.post(CHAT, json=body)
    [run] = await client.history()

    [message] = provider.requests[0].messages
    assert message.content == run["prompt"] == "One\ntwo\nthree"
    assert message.parts[0] == Text("One\ntwo")


async def test_an_image_alone_is_a_prompt(client: Client) -> None:
    responses = [
        await client.post(CHAT, json=chat(shown())),
        await client.post(CHAT, json=chat(shown(), text(" "))),
        await client.post(RESPONSES, json={"input": BY_PATH[RESPONSES]["input"]}),
    ]

    assert [each.status_code for each in responses] == [200] * 3
    assert [run["prompt"] for run in await client.history()][1:] == [" ", ""]


async def test_a_later_prompt_is_given_the_images_before_it(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await client.post(RESPONSES, json=BY_PATH[RESPONSES])
    await client.post(
        RESPONSES, json={"input": "Sure?", "previous_response_id": first.json()["id"]}
    )
    given = await bytes_given(provider)
    earlier = [*BY_PATH[CHAT]["messages"], {"role": "assistant", "content": "A cat."}]
    body = {"messages": [*earlier, {"role": "user", "content": "Sure?"}]}
    await client.post(CHAT, json=body)

    assert given == await bytes_given(provider) == {hash_of(PNG): PNG}
    assert provider.requests[1].messages[0] == provider.requests[0].messages[0]
    assert provider.requests[2].messages[0] == provider.requests[0].messages[0]


async def test_a_prompt_of_text_alone_reads_no_images(
    client: Client, provider: ScriptedProvider
) -> None:
    await client.post("/prompt/", json={"prompt": "Hi"})
    await client.post(CHAT, json=chat(text("Hi"), text("there")))

    assert [each.read_images for each in provider.requests] == [None, None]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (shown("http://example.com/cat.png"), "has to be an `https:` URL"),
        (shown("data:image/png;base64,?"), "not valid base64"),
        (shown(data_url(b"")), "empty"),
        (shown(data_url(b"%PDF-1.7", "application/pdf")), "has to be an image"),
        (shown(data_url(PNG[:30])), "broken off"),
        (shown(data_url(png((50_000, 50_000)))), "50000 by 50000 pixels"),
        (shown(ADDRESS, detail="most"), "`detail` has to be one of"),
        ({"type": "image_url"}, "has to be a `data:` or an `https:` URL"),
        ({"type": "image_url", "image_url": {}}, "has to be a `data:`"),
    ],
)
async def test_what_is_no_image_is_refused_by_its_place(
    client: Client, provider: ScriptedProvider, part: dict[str, Any], said: str
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [text("Look:"), part]},
    ]

    response = await client.post(CHAT, json={"messages": messages})

    assert response.status_code == 400
    assert error(response)["param"] == "messages[1].content[1].image_url"
    assert said in error(response)["message"]
    assert provider.requests == []
    assert await client.history() == []


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
async def test_only_users_show_images(client: Client, role: str) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    called = {"role": "assistant", "tool_calls": [call]}
    first = [called] if role == "tool" else []
    message = {"role": role, "content": [shown()], "tool_call_id": "a"}
    if role != "tool":
        del message["tool_call_id"]
    last = {"role": "user", "content": "Hi"}

    response = await client.post(CHAT, json={"messages": [*first, message, last]})

    assert response.status_code == 400
    assert error(response)["param"] == f"messages[{len(first)}].content[0]"
    assert await client.history() == []


async def test_files_are_refused_by_name(client: Client) -> None:
    part = {"type": "input_image", "file_id": "file-1"}

    response = await client.post(RESPONSES, json=responding(part))

    assert response.status_code == 400
    assert error(response)["param"] == "input[0].content[0].file_id"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (CHAT, "messages[0].content[1].image_url"),
        (RESPONSES, "input[0].content[1].image_url"),
    ],
)
async def test_a_model_that_cannot_look_is_refused_with_one_that_can(
    settings: Settings, path: str, place: str
) -> None:
    blind = ScriptedProvider(name="blind", unsupported=frozenset({IMAGES}))
    seeing = ScriptedProvider(name="seeing", models=["hawk"])
    async with connect(settings, blind, seeing) as client:
        response = await client.post(path, json=BY_PATH[path])
        history = await client.history()

    assert response.status_code == 400
    assert error(response)["param"] == place
    assert "blind:parrot cannot look at images" in error(response)["message"]
    assert "such as seeing:hawk" in error(response)["message"]
    assert history == []


async def test_a_model_that_cannot_look_does_not_continue_with_an_image(
    settings: Settings,
) -> None:
    blind = ScriptedProvider(name="blind", unsupported=frozenset({IMAGES}))
    seeing = ScriptedProvider(name="seeing", models=["hawk"])
    async with connect(settings, blind, seeing) as client:
        first = await client.post(
            RESPONSES, json=BY_PATH[RESPONSES] | {"model": "seeing:hawk"}
        )
        body = {"input": "Sure?", "previous_response_id": first.json()["id"]}
        refused = await client.post(RESPONSES, json=body)

    assert first.status_code == 200
    assert refused.status_code == 400
    assert "what was said before has one" in error(refused)["message"]


async def test_a_model_that_wants_bytes_is_given_no_address(settings: Settings) -> None:
    provider = ScriptedProvider(unsupported=frozenset({IMAGE_URLS}))
    async with connect(settings, provider) as client:
        taken = await client.post(CHAT, json=BY_PATH[CHAT])
        refused = await client.post(CHAT, json=chat(shown(ADDRESS)))

    assert taken.status_code == 200
    assert refused.status_code == 400
    assert "Send the image itself" in error(refused)["message"]


async def test_images_are_served_to_their_owner_alone(client: Client) -> None:
    await client.post(CHAT, json=BY_PATH[CHAT])
    [run] = await client.history()
    link = run["last_message"]["parts"][1]["link"]

    mine = await client.get(link)
    known = await client.get(link, headers={"If-None-Match": mine.headers["etag"]})
    his = await client.get(link, headers=BOB)
    others = [
        await client.get(f"/history/{run['id']}/images/{hash_of(JPEG)}"),
        await client.get(link.replace(run["id"], run["id"][:-3] + "000")),
        await client.get(link + "0"),
    ]
    await client.delete(f"/history/{run['id']}")
    gone = await client.get(link)

    assert (mine.status_code, mine.content) == (200, PNG)
    headers = {
        "content-type": "image/png",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cache-control": "private, max-age=31536000, immutable",
        "etag": f'"{hash_of(PNG)}"',
        "vary": "Authorization, X-API-Key",
    }
    assert headers.items() <= dict(mine.headers).items()
    assert (known.status_code, known.content) == (304, b"")
    assert his.json()["type"] == "urn:llamakeep:problem:image-not-found"
    assert [each.status_code for each in others] == [404, 404, 422]
    assert gone.status_code == 404


async def test_an_image_counts_among_what_its_user_has_not_read(
    client: Client,
) -> None:
    alice = await client.alice()
    await client.post(CHAT, json=chat(text("Hi"), shown(data_url(PNG + bytes(MIB)))))
    [run] = await client.history()
    link = run["last_message"]["parts"][1]["link"]
    etag = f'"{link.rpartition("/")[2]}"'
    end = client.services.readers.begin(alice.id, readers.MOST - MIB)

    refused = await client.get(link)
    known = await client.get(link, headers={"If-None-Match": etag})
    end()
    taken = await client.get(link)

    assert refused.json()["type"] == "urn:llamakeep:problem:too-many-readers"
    assert known.status_code == 304
    assert (taken.status_code, len(taken.content)) == (200, len(PNG) + MIB)
    assert client.services.readers._held == {}


async def test_the_items_of_a_response_show_its_images(client: Client) -> None:
    first = (await client.post(RESPONSES, json=BY_PATH[RESPONSES])).json()
    run_id = first["id"].replace("resp_", "run_")

    items = await client.get(f"{RESPONSES}/{first['id']}/input_items")

    [item] = items.json()["data"]
    assert item["content"] == [
        {"type": "input_text", "text": "What is this?"},
        {
            "type": "input_image",
            "image_url": f"http://test/history/{run_id}/images/{hash_of(PNG)}",
            "detail": "low",
        },
    ]


async def test_an_item_that_is_referred_to_has_its_image_without_the_bytes(
    client: Client, provider: ScriptedProvider
) -> None:
    first = (await client.post(RESPONSES, json=BY_PATH[RESPONSES])).json()
    items = await client.get(f"{RESPONSES}/{first['id']}/input_items")
    [item] = items.json()["data"]
    last = {"role": "user", "content": "And now?"}

    second = await client.post(RESPONSES, json={"input": [{"id": item["id"]}, last]})
    await client.delete(f"{RESPONSES}/{first['id']}")
    run_id = second.json()["id"].replace("resp_", "run_")
    found = await client.get(f"/history/{run_id}/images/{hash_of(PNG)}")

    assert second.status_code == 200
    assert provider.requests[1].messages[0] == provider.requests[0].messages[0]
    assert found.content == PNG


async def test_the_address_of_an_image_here_stands_for_the_image_to_its_owner_alone(
    client: Client, provider: ScriptedProvider
) -> None:
    first = (await client.post(RESPONSES, json=BY_PATH[RESPONSES])).json()
    path = f"/history/{first['id'].replace('resp_', 'run_')}/images/{hash_of(PNG)}"
    url = f"https://here.example{path}"
    by_another_name = {"type": "input_image", "image_url": url}
    other = {"type": "input_image", "image_url": f"http://test{path[:-1]}0"}

    own = await client.post(RESPONSES, json=responding(by_another_name))
    theirs = await client.post(RESPONSES, json=responding(by_another_name), headers=BOB)
    none = await client.post(RESPONSES, json=responding(other))

    assert own.status_code == 200
    assert provider.requests[1].messages[-1].parts[-1] == image(PNG)
    assert theirs.status_code == 200  # it is an address like any other
    [elsewhere] = provider.requests[2].messages[-1].parts
    assert elsewhere.text == url
    assert (none.status_code, len(provider.requests)) == (400, 3)


async def test_a_request_refers_to_a_hundred_images_at_most(client: Client) -> None:
    parts = [
        {
            "type": "input_image",
            "image_url": f"http://test/history/run_{'0' * 26}/images/{number:064x}",
        }
        for number in range(101)
    ]

    response = await client.post(RESPONSES, json=responding(*parts))

    assert (response.status_code, error(response)["param"]) == (400, "input")
    assert "100 images" in error(response)["message"]


async def test_what_a_tool_returned_may_be_an_image(
    client: Client, provider: ScriptedProvider
) -> None:
    call = {"type": "function_call", "call_id": "a", "name": "look", "arguments": ""}
    returned = {
        "type": "function_call_output",
        "call_id": "a",
        "output": [
            {"type": "input_text", "text": "Here:"},
            {"type": "input_image", "image_url": data_url(PNG)},
        ],
    }

    response = await client.post(RESPONSES, json={"input": [call, returned]})
    items = await client.get(f"{RESPONSES}/{response.json()['id']}/input_items")

    last = provider.requests[0].messages[-1]
    assert last.content == "Here:"
    assert last.parts[1] == image(PNG)
    [shown_output, _] = items.json()["data"]
    assert [part["type"] for part in shown_output["output"]] == [
        "input_text",
        "input_image",
    ]


async def test_a_prompt_with_an_image_is_repeated_by_its_key(
    client: Client, provider: ScriptedProvider
) -> None:
    key = {"Idempotency-Key": "once"}

    first = await client.post(CHAT, json=BY_PATH[CHAT], headers=key)
    again = await client.post(CHAT, json=BY_PATH[CHAT], headers=key)
    body = chat(text("What is this?"), shown(data_url(JPEG)))
    other = await client.post(CHAT, json=body, headers=key)

    assert again.json() == first.json()
    assert other.status_code == 422
    assert len(provider.requests) == 1


async def test_images_may_be_larger_than_other_bodies(settings: Settings) -> None:
    small = settings.model_copy(
        update={"max_body_size": ByteSize(2000), "max_images_size": ByteSize(9000)}
    )
    large = PNG + bytes(8000)
    async with connect(small, ScriptedProvider()) as client:
        taken = await client.post(CHAT, json=chat(text("Hi"), shown(data_url(large))))
        refused = [
            await client.post(CHAT, json=chat(text("x" * 3000), shown())),
            await client.post(CHAT, json=chat(shown(data_url(PNG + bytes(12_000))))),
            await client.post("/v1/completions", json={"prompt": data_url(large)}),
            await client.post(CHAT, content=_pieces(chat(shown(data_url(large))))),
        ]
        both = chat(shown(data_url(large)), shown(data_url(JPEG + bytes(2000))))
        too_many = await client.post(CHAT, json=both)
        history = await client.history()

    assert taken.status_code == 200
    assert [each.status_code for each in refused] == [413] * 4
    assert too_many.status_code == 400
    assert "LLAMAKEEP_MAX_IMAGES_SIZE" in error(too_many)["message"]
    assert len(history) == 1


async def _pieces(body: dict[str, Any]) -> Any:
    yield json.dumps(body).encode()


async def test_a_model_is_not_given_very_many_images(client: Client) -> None:
    response = await client.post(CHAT, json=chat(*[shown(ADDRESS)] * 101))

    assert response.status_code == 400
    assert "101 images; 100 are possible" in error(response)["message"]
    assert await client.history() == []


async def test_an_image_in_many_runs_is_exported_once_and_comes_back(
    client: Client,
) -> None:
    for path, body in BY_PATH.items():
        await client.post(path, json=body)
    first = await client.post(
        RESPONSES,
        json=responding(
            {"type": "input_image", "image_url": ADDRESS},
            {"type": "input_image", "image_url": data_url(JPEG)},
        ),
    )
    await client.post(
        RESPONSES, json={"input": "Sure?", "previous_response_id": first.json()["id"]}
    )
    before = (await client.get("/history/export")).content
    await client.delete("/history/?all=true")

    imported = await client.post("/history/import", content=before)
    after = (await client.get("/history/export")).content
    again = await client.post("/history/import", content=before)

    assert imported.json() == {"imported": 4, "known": 0}
    assert after == before
    assert again.json() == {"imported": 0, "known": 4}
    lines = [json.loads(line) for line in before.splitlines()]
    assert [[one["sha256"] for one in line.get("images", ())] for line in lines] == [
        [hash_of(PNG)],
        [],
        [hash_of(JPEG)],
        [],
    ]


async def test_a_page_for_people_has_links_to_images(client: Client) -> None:
    await client.post(CHAT, json=BY_PATH[CHAT])
    await client.post(CHAT, json=chat(shown(ADDRESS)))
    second, first = await client.history()

    page = (await client.get("/history/export?format=markdown")).text

    link = f"/history/{first['id']}/images/{hash_of(PNG)}"
    assert f"> What is this?\n> \n> ![image/png](<{link}>)\n" in page
    assert f"`{second['id']}`" in page
    assert f"> ![image](<{ADDRESS}>)\n" in page


def _with_bytes(sha256: str, data: str) -> dict[str, Any]:
    return {"images": [{"sha256": sha256, "data": data}]}


@pytest.mark.parametrize(
    ("line", "part", "said"),
    [
        ({"images": []}, {}, "not in its line"),
        (_with_bytes("0" * 64, ""), {}, "No message shows the image"),
        (_with_bytes(hash_of(PNG), "aGk="), {}, "has another SHA-256"),
        (_with_bytes(hash_of(PNG), "?"), {}, "is not base64"),
        ({}, {"size": 1}, "says something else"),
        ({}, {"media_type": "text/html"}, "says something else"),
        ({}, {"url": ADDRESS}, "An image has a `url`, or"),
        ({}, {"sha256": None}, "An image has a `url`, or"),
        ({}, {"call_id": "a"}, "other fields than these"),
        ({}, {"sha256": "../x"}, "not written as it has to be"),
        (
            {"images": []},
            {"sha256": None, "media_type": None, "size": None, "url": "http://x.com"},
            "has to be an `https:` URL",
        ),
    ],
)
async def test_a_line_with_a_wrong_image_is_refused(
    client: Client, line: dict[str, Any], part: dict[str, Any], said: str
) -> None:
    await client.post(CHAT, json=BY_PATH[CHAT])
    right = json.loads((await client.get("/history/export")).content)
    await client.delete("/history/?all=true")
    right["last_message"]["parts"][1] |= part

    response = await client.post("/history/import", content=json.dumps(right | line))

    assert response.status_code == 422
    assert said in response.text
    assert "line 1" in response.text
    assert await client.history() == []


async def test_what_is_asked_holds_no_bytes_of_images(
    client: Client, provider: ScriptedProvider
) -> None:
    response = await client.post(CHAT, json=BY_PATH[CHAT])

    assert response.status_code == 200
    [message] = provider.requests[0].messages
    [part] = [part for part in message.parts if isinstance(part, Image)]
    assert part.data is None


@pytest.mark.slow
@pytest.mark.parametrize("path", [*BY_PATH, MESSAGES])
async def test_while_an_image_is_looked_at_its_request_is_not_in_memory(
    quiet: Settings, path: str
) -> None:
    large = data_url(PNG + bytes(4 * MIB))
    shown_large = {
        CHAT: chat(shown(large)),
        RESPONSES: responding({"type": "input_image", "image_url": large}),
        MESSAGES: messages(large),
    }
    small = BY_PATH | {MESSAGES: messages(data_url(PNG))}
    go_on = asyncio.Event()
    provider = ScriptedProvider(["Hello"])
    async with connect(quiet, provider) as client:
        await send(client, path, small[path])
        provider.script = [go_on, "Hello"]

        with weighing() as weight:
            asking = asyncio.create_task(send(client, path, shown_large[path]))
            held = client.services.readers._held
            await until(lambda: len(provider.requests) == 2 and not held)
            gc.collect()
            # The thread that wrote the image may need a moment to end.
            await until(lambda: tracemalloc.get_traced_memory()[0] < MIB)

        go_on.set()
        await asking
    assert weight.added < MIB
    assert weight.most < 8 * 5 * MIB


async def test_a_user_has_so_many_large_requests_in_memory(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MOST", MIB)
    body = chat(shown(data_url(PNG + bytes(MIB))))
    alice = await client.alice()
    end = client.services.readers.begin(alice.id, MIB - 1)

    refused = await client.post(CHAT, json=body)
    end()
    taken = await client.post(CHAT, json=body)

    assert (refused.status_code, taken.status_code) == (429, 200)
    assert "Too many of your requests with images" in error(refused)["message"]
    assert client.services.readers._held == {}
