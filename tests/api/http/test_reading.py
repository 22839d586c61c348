"""Long answers, exports and streams: in pieces, on one line, and only so many."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llamakeep.limits.readers import EXPORT, MOST
from llamakeep.schemas.json_text import PIECE, gathered, in_pieces, one_line, to_json
from llamakeep.settings import Settings
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider

SIGNS = "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i\r\nj"
LONG = 'ä"\\\n,😀\u2028' * (PIECE // 4)


@pytest.fixture
async def talker(settings: Settings) -> AsyncIterator[Client]:
    """A server whose model says what breaks lines."""
    async with connect(settings, ScriptedProvider([SIGNS, SIGNS])) as client:
        yield client


@pytest.fixture
async def long_winded(settings: Settings) -> AsyncIterator[Client]:
    """A server whose model says a lot, in one piece."""
    async with connect(settings, ScriptedProvider([LONG])) as client:
        yield client


def is_on_lines(text: bytes) -> bool:
    """Return whether everybody sees the same lines in a text."""
    return text.decode().splitlines() == text.decode().split("\n")[:-1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/prompt/", {"prompt": SIGNS, "stream": True}),
        ("/v1/completions", {"model": "parrot", "prompt": SIGNS, "stream": True}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": SIGNS}], "stream": True},
        ),
        ("/v1/responses", {"input": SIGNS, "stream": True}),
    ],
)
async def test_everybody_sees_the_same_lines_in_a_stream(
    talker: Client, path: str, body: dict[str, Any]
) -> None:
    response = await talker.post(path, json=body)

    assert response.status_code == 200
    assert is_on_lines(response.content)
    assert b"\\u2028" in response.content


async def test_everybody_sees_the_same_lines_in_an_export_and_a_history(
    talker: Client,
) -> None:
    await talker.post("/prompt/", json={"prompt": SIGNS, "metadata": {"a": "\x85"}})

    exported = await talker.get("/history/export")
    listed = await talker.get("/history/")

    assert is_on_lines(exported.content)
    assert json.loads(exported.text)["prompt"] == SIGNS
    assert not {"\x85", "\u2028", "\u2029"} & set(listed.text)
    assert listed.json()["history"][0]["response"] == SIGNS * 2


@pytest.mark.parametrize("sign", SIGNS)
def test_what_is_escaped_stays_the_same(sign: str) -> None:
    assert json.loads(to_json({sign: [sign]})) == {sign: [sign]}
    assert len(to_json(sign).decode().splitlines()) == 1


@pytest.mark.parametrize(
    "value",
    [{}, [], None, {"a": [LONG, 1, {"b": LONG}], "c": "d"}, LONG, [{}, []], "\x85"],
)
def test_json_in_pieces_is_the_same_json(value: Any) -> None:
    pieces = list(gathered(in_pieces(value)))

    assert b"".join(pieces) == to_json(value)
    assert max(map(len, pieces)) < 16 * PIECE
    assert one_line(b"".join(pieces)) == b"".join(pieces)


@pytest.mark.parametrize("form", ["ndjson", "csv", "markdown"])
async def test_a_long_run_is_exported_in_pieces_and_whole(
    long_winded: Client, form: str
) -> None:
    await long_winded.post("/prompt/", json={"prompt": LONG[:100_000]})
    query = f"/history/export?format={form}"

    sizes, content = [], b""
    async with long_winded.stream("GET", query) as response:
        async for piece in response.aiter_raw():
            sizes.append(len(piece))
            content += piece

    assert max(sizes) < 12 * PIECE
    if form == "ndjson":
        assert json.loads(content)["response"] == LONG
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        assert [row["response"] for row in rows] == [LONG]
        assert rows[0]["prompt"] == LONG[:100_000]
    else:
        assert content.decode().endswith(f"\n\n{LONG}\n\n")
        assert content.decode().count("\n> ") > 1000


async def test_a_stream_begins_with_no_more_than_a_piece(long_winded: Client) -> None:
    run = (await long_winded.post("/prompt/", json={"prompt": "Go on"})).json()

    events = await long_winded.events("GET", f"/history/{run['id']}/stream")

    texts = [each.data["text"] for each in events if each.event == "delta"]
    assert "".join(texts) == LONG
    assert max(map(len, texts)) == PIECE
    places = [int(each.id) for each in events if each.event == "delta"]
    assert places == [len("".join(texts[: n + 1])) for n in range(len(texts))]


@pytest.mark.parametrize("position", [1, PIECE, PIECE + 1, len(LONG) - 1])
async def test_a_stream_goes_on_where_a_reader_stopped(
    long_winded: Client, position: int
) -> None:
    run = (await long_winded.post("/prompt/", json={"prompt": "Go on"})).json()

    events = await long_winded.events(
        "GET", f"/history/{run['id']}/stream?starting_after={position}"
    )

    texts = [each.data["text"] for each in events if each.event == "delta"]
    assert "".join(texts) == LONG[position:]


async def test_a_long_run_is_shown_as_a_short_one(long_winded: Client) -> None:
    run = (await long_winded.post("/prompt/", json={"prompt": "Go on"})).json()

    one = await long_winded.get(f"/history/{run['id']}")
    page = await long_winded.get("/history/")

    assert one.json()["response"] == LONG
    assert page.json()["history"] == [one.json()]
    assert one.headers["content-type"] == "application/json"


async def test_only_so_many_exports_of_a_user_are_open_at_once(
    client: Client,
) -> None:
    await client.post("/prompt/", json={"prompt": "Hi"})
    readers = client.services.readers
    alice = await client.alice()
    ends = [readers.begin(alice.id, EXPORT) for _ in range(MOST // EXPORT)]

    refused = await client.get("/history/export")
    others = await client.get("/history/export", headers=BOB)
    ends[0]()
    after = await client.get("/history/export")

    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:llamakeep:problem:too-many-readers"
    assert refused.headers["retry-after"] == "1"
    assert "not read to their end" in refused.json()["detail"]
    assert (others.status_code, after.status_code) == (200, 200)


@pytest.mark.parametrize(
    "path",
    [
        "/history/export",
        "/history/export?format=csv",
        "/history/{}/stream",
        "/history/{}",
        "/history/",
        "/v1/responses/resp_{}?stream=true",
        "/replicate/v1/predictions/{}/stream",
    ],
)
async def test_what_was_read_or_left_counts_no_more(
    long_winded: Client, path: str
) -> None:
    run = (await long_winded.post("/prompt/", json={"prompt": "Hi"})).json()
    run_id = run["id"] if "/history/" in path else run["id"].removeprefix("run_")

    read = await long_winded.get(path.format(run_id))
    leaving = asyncio.create_task(long_winded.get(path.format(run_id)))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])

    assert read.status_code == 200
    assert long_winded.services.readers._held == {}


async def test_whatever_route_answers_it_json_is_on_one_line(talker: Client) -> None:
    name = "a\x85b\u2028c\u2029d"
    run = (await talker.post("/prompt/", json={"prompt": "Hi"})).json()
    answers = [
        await talker.post("/keys/", json={"name": name}),
        await talker.get("/keys/"),
        await talker.patch(f"/history/{run['id']}", json={"metadata": {"a": name}}),
        await talker.get("/history/"),
    ]

    for answer in answers:
        assert answer.is_success, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert not {"\x85", "\u2028", "\u2029"} & set(answer.text), answer.url
        assert "\\u2028" in answer.text, answer.url
