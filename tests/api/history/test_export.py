"""Taking a history away, as a file or for good."""

import asyncio
import csv
import io
import json
from typing import Any

import pytest

from llamakeep.api.history.export import MUCH
from llamakeep.settings import Settings
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider


async def ask(client: Client, *prompts: str) -> None:
    for prompt in prompts:
        await client.post("/prompt/", json={"prompt": prompt})


async def add(client: Client, count: int) -> None:
    """Give alice so many runs."""
    users = await client.storage.list_users()
    [alice] = [user for user in users if user.username == "alice"]
    await asyncio.gather(
        *(client.storage.add(alice, str(n), "Yes.") for n in range(count))
    )


async def add_one(client: Client, response: str) -> None:
    users = await client.storage.list_users()
    [alice] = [user for user in users if user.username == "alice"]
    await client.storage.add(alice, "Hi", response)


async def test_every_run_is_a_line_as_it_is_in_the_history(client: Client) -> None:
    await ask(client, "one\nline", "two")
    await client.post("/prompt/", json={"prompt": "His"}, headers=BOB)

    response = await client.get("/history/export")

    assert response.headers["content-type"] == "application/x-ndjson"
    assert "history.ndjson" in response.headers["content-disposition"]
    lines = [json.loads(line) for line in response.text.splitlines()]
    more: dict[str, Any] = {"earlier": []}
    shown = (await client.history())[::-1]
    assert [line | {"position": None} for line in lines] == [
        run | more for run in shown
    ]


@pytest.mark.parametrize("count", [0, 49, 50, 51, 101])
async def test_the_file_has_every_run_once(client: Client, count: int) -> None:
    await add(client, count)

    response = await client.get("/history/export")

    prompts = [json.loads(line)["prompt"] for line in response.text.splitlines()]
    assert sorted(prompts, key=int) == [str(n) for n in range(count)]


async def test_a_table_has_one_row_for_each_run(client: Client) -> None:
    await ask(client, 'a "quoted", thing\nand a line', "=HYPERLINK(1)")

    response = await client.get("/history/export?format=csv")

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [row["prompt"] for row in rows] == [
        'a "quoted", thing\nand a line',
        "'=HYPERLINK(1)",
    ]
    assert [row["response"] for row in rows] == ["Hello, world"] * 2
    assert rows[0]["model"] == "scripted:parrot"


async def test_a_document_has_one_section_for_each_run(client: Client) -> None:
    await ask(client, "Two\n# lines", "again")

    response = await client.get("/history/export?format=markdown")

    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text.count("\n\nHello, world\n\n") == 2
    assert "\n\n> Two\n> # lines\n\n" in response.text


@pytest.mark.parametrize("kind", ["ndjson", "csv", "markdown"])
async def test_a_long_response_is_in_each_file_as_it_is(
    client: Client, kind: str
) -> None:
    long = '=1+"a"\nä 日本\u2028😀 ' * (MUCH // 8)
    for response in ("Before.", long, "After."):
        await client.post("/prompt/", json={"prompt": "Hi"})
        await add_one(client, response)

    file = (await client.get(f"/history/export?format={kind}")).text

    if kind == "ndjson":
        responses = [json.loads(line)["response"] for line in file.split("\n")[:-1]]
    elif kind == "csv":
        csv.field_size_limit(len(file))
        rows = csv.DictReader(io.StringIO(file, newline=""))
        responses = [row["response"] for row in rows]
        long = f"'{long}"
    else:
        responses = [each.split("\n\n", 3)[3][:-2] for each in file.split("## ")[1:]]
    assert responses[1::2] == ["Before.", long, "After."]


async def test_a_file_can_be_of_what_the_filters_let_through(client: Client) -> None:
    await ask(client, "a llama", "an alpaca")

    response = await client.get("/history/export?q=llama")

    assert [json.loads(line)["prompt"] for line in response.text.splitlines()] == [
        "a llama"
    ]


async def test_the_whole_history_can_be_deleted_but_nobody_elses(
    client: Client,
) -> None:
    await add(client, 201)
    await client.post("/prompt/", json={"prompt": "His"}, headers=BOB)

    response = await client.delete("/history/?all=true")

    assert (response.status_code, response.json()) == (200, {"deleted": 201})
    assert await client.history() == []
    assert len(await client.history(**BOB)) == 1


async def test_what_is_deleted_can_be_narrowed(client: Client) -> None:
    await ask(client, "a llama", "an alpaca", "two llamas")

    response = await client.delete("/history/?q=llama*")

    assert response.json() == {"deleted": 2}
    assert [run["prompt"] for run in await client.history()] == ["an alpaca"]
    assert (await client.get("/history/?q=llama*")).json()["history"] == []


@pytest.mark.parametrize("query", ["", "?q=", "?all=false", "?all=true&q=a"])
async def test_nothing_is_deleted_that_was_not_meant(
    client: Client, query: str
) -> None:
    await ask(client, "a llama")

    response = await client.delete(f"/history/{query}")

    assert response.status_code == 422
    assert "Nothing was deleted" in response.json()["detail"]
    assert len(await client.history()) == 1


async def test_deleting_everything_stops_what_goes_on(settings: Settings) -> None:
    provider = ScriptedProvider(["Well, ", asyncio.Event()])

    async with connect(settings, provider) as client:
        await client.begin()
        response = await client.delete("/history/?all=true")
        kept = await client.history()

    assert response.json() == {"deleted": 1}
    assert kept == []
    assert provider.open_answers == 0
