"""Listing, naming and forgetting conversations, and giving runs tags."""

import asyncio
from typing import Any

import pytest

from llamakeep.api.history.conversations import title_of
from llamakeep.settings import Settings
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider


async def ask(client: Client, prompt: str, **fields: Any) -> str:
    """Ask, and return the conversation."""
    response = await client.post("/prompt/", json={"prompt": prompt, **fields})
    assert response.status_code == 200, response.text
    return str(response.json()["conversation_id"])


async def pages(client: Client, cursor: str | None, to: str, **params: Any) -> Any:
    """Return the titles on each page, following one kind of cursor to its end."""
    found = []
    while True:
        query = params | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/conversations/", params=query)).json()
        found.append([each["title"] for each in page["conversations"]])
        cursor = page[to]
        if cursor is None:
            return found


async def test_a_conversation_is_called_what_it_began_with(client: Client) -> None:
    begun = await ask(client, "\n \n***\n  What is   a llama?\nIn two words.")
    await ask(client, "And an alpaca?", conversation_id=begun)

    listed = (await client.get("/conversations/")).json()
    shown = (await client.get(f"/conversations/{begun}")).json()

    newest, oldest = await client.history()
    assert listed["conversations"] == [
        {
            "id": begun,
            "title": "What is a llama?",
            "created_at": oldest["created_at"],
            "updated_at": newest["created_at"],
        }
    ]
    assert (listed["next_cursor"], listed["previous_cursor"]) == (None, None)
    assert shown == listed["conversations"][0] | {"runs": 2}


async def test_pages_of_conversations_lead_there_and_back(client: Client) -> None:
    first = await ask(client, "1")
    for prompt in ("2", "3", "4", "5"):
        await ask(client, prompt)
    await ask(client, "1 again", conversation_id=first)

    there = await pages(client, None, "next_cursor", limit=2)
    second = (await client.get("/conversations/?limit=2")).json()["next_cursor"]
    last = (
        await client.get("/conversations/", params={"limit": 2, "cursor": second})
    ).json()["next_cursor"]
    back = await pages(client, last, "previous_cursor", limit=2)

    assert there == [["1", "5"], ["4", "3"], ["2"]]
    assert back == [["2"], ["4", "3"], ["1", "5"]]


async def test_what_is_before_the_first_page_is_empty(client: Client) -> None:
    await ask(client, "1")
    [run] = await client.history()

    page = await client.get(f"/conversations/?cursor=newer.{run['id']}")

    assert page.json()["conversations"] == []
    assert page.json()["previous_cursor"] is None


async def test_a_conversation_can_be_given_another_title(client: Client) -> None:
    path = f"/conversations/{await ask(client, 'What is a llama?')}"

    chosen = await client.patch(path, json={"title": "  On\nllamas "})
    listed = (await client.get("/conversations/")).json()["conversations"]
    given_back = await client.patch(path, json={"title": None})

    assert chosen.json()["title"] == "On llamas"
    assert chosen.json() == listed[0] | {"runs": 1}
    assert given_back.json()["title"] == "What is a llama?"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": " \n"}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a", "id": "conv_1"}, "id"),
    ],
)
async def test_a_title_that_is_none_changes_nothing(
    client: Client, body: Any, field: str
) -> None:
    path = f"/conversations/{await ask(client, 'What is a llama?')}"

    response = await client.patch(path, json=body)

    assert response.status_code == 422
    assert [each["field"] for each in response.json()["errors"]] == [field]
    assert (await client.get(path)).json()["title"] == "What is a llama?"


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("", ""),
        ("🦙", "🦙"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("word " * 16, ("word " * 16).strip()),
        ("word " * 17, "word " * 15 + "word…"),
        ("Well, " * 20, "Well, " * 12 + "Well…"),
        ("为" * 200, "为" * 79 + "…"),
    ],
)
def test_a_long_prompt_is_cut_between_words_where_there_are_words(
    prompt: str, title: str
) -> None:
    assert title_of(prompt) == title


async def test_a_forgotten_conversation_is_gone_and_no_other_one(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Well, ", asyncio.Event()])
    async with connect(settings, provider) as client:
        run_id = await client.begin("Forget this")
        gone = (await client.get(f"/history/{run_id}")).json()["conversation_id"]
        provider.script = ["Yes."]
        for _ in range(12):
            await ask(client, "Forget that", conversation_id=gone)
        kept = await ask(client, "Keep this")

        response = await client.delete(f"/conversations/{gone}")
        again = await client.delete(f"/conversations/{gone}")
        left = (await client.get("/conversations/")).json()["conversations"]

    assert (response.status_code, again.status_code) == (204, 404)
    assert [each["id"] for each in left] == [kept]
    assert provider.open_answers == 0


async def test_runs_are_listed_by_their_tags(client: Client) -> None:
    await ask(client, "1", metadata={"project": "one"})
    await ask(client, "2", metadata={"project": "one", "draft": "yes"})
    await ask(client, "3")
    queries = ("tag=project", "tag=project:one&tag=draft", "tag=project:two", "tag=x")

    found = [(await client.get(f"/history/?{query}")).json() for query in queries]

    prompts = [[run["prompt"] for run in page["history"]] for page in found]
    assert prompts == [["2", "1"], ["2"], [], []]


async def test_a_run_can_be_given_other_tags(client: Client) -> None:
    await ask(client, "1", metadata={"project": "one"})
    [run] = await client.history()

    response = await client.patch(
        f"/history/{run['id']}", json={"metadata": {"project": "two"}}
    )

    assert response.json() == run | {"metadata": {"project": "two"}}
    assert await client.history() == [response.json()]
    found = (await client.get("/history/?tag=project:one")).json()
    assert found["history"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": None},
        {"metadata": {"": "a"}},
        {"metadata": {"a": 1}},
        {"metadata": {"a": "\0"}},
        {"metadata": {str(n): "" for n in range(17)}},
        {"metadata": {}, "prompt": "Another one"},
    ],
)
async def test_tags_that_are_none_change_nothing(client: Client, body: Any) -> None:
    await ask(client, "1", metadata={"project": "one"})
    [run] = await client.history()

    response = await client.patch(f"/history/{run['id']}", json=body)

    assert response.status_code == 422
    assert await client.history() == [run]


@pytest.mark.parametrize("query", ["tag=", f"tag={'x' * 578}", "&tag=a" * 17])
async def test_a_filter_that_can_be_no_tag_is_refused(
    client: Client, query: str
) -> None:
    assert (await client.get(f"/history/?{query}")).status_code == 422


async def test_a_page_of_runs_names_their_conversations(client: Client) -> None:
    llamas = await ask(client, "What is a llama?")
    chosen = await ask(client, "And an alpaca?")
    await client.patch(f"/conversations/{chosen}", json={"title": "Alpacas"})
    await ask(client, "In one word?", conversation_id=llamas)
    await client.post("/prompt/", json={"prompt": "His"}, headers=BOB)

    named = (await client.get("/history/?titles=true&limit=2")).json()
    found = (await client.get("/history/?titles=true&q=alpaca&sort=best")).json()
    plain = (await client.get("/history/?titles=false")).json()

    assert named["titles"] == {llamas: "What is a llama?", chosen: "Alpacas"}
    assert found["titles"] == {chosen: "Alpacas"}
    assert "titles" not in plain


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("llama", ["What is a llama?"]),
        ("LLAM*", ["What is a llama?"]),
        ("hello", ["Of wool, and camels", "What is a llama?"]),  # it is in the answers
        ("alpaca", ["Of wool, and camels"]),
        ("camels", ["Of wool, and camels"]),
        ('"wool and camels"', ["Of wool, and camels"]),
        ('"wool camels"', []),
        ("wool cam*", ["Of wool, and camels"]),
        ("wool llama", []),
        ("alpaca wool", []),
        ("vicuna", []),
        ("", ["Of wool, and camels", "What is a llama?"]),
    ],
)
async def test_conversations_are_found_by_chosen_titles_and_by_runs(
    client: Client, words: str, titles: list[str]
) -> None:
    chosen = await ask(client, "And an alpaca?")
    await client.patch(
        f"/conversations/{chosen}", json={"title": "Of wool, and camels"}
    )
    await ask(client, "What is a llama?")
    await ask(client, "In one word?", conversation_id=chosen)
    his = await client.post("/prompt/", json={"prompt": "A llama?"}, headers=BOB)
    path = f"/conversations/{his.json()['conversation_id']}"
    await client.patch(path, json={"title": "Wool, camels"}, headers=BOB)

    found = await client.get("/conversations/", params={"q": words})

    assert [each["title"] for each in found.json()["conversations"]] == titles


async def test_found_conversations_are_on_one_page(client: Client) -> None:
    for prompt in ("A llama", "Llamas, too", "Another llama"):
        await ask(client, prompt)
    [run, *_] = await client.history()

    found = (await client.get("/conversations/?q=llama*&limit=2")).json()
    paged = await client.get(f"/conversations/?q=llama&cursor={run['id']}")
    nothing = await client.get("/conversations/?q=!")

    assert [each["title"] for each in found["conversations"]] == [
        "Another llama",
        "Llamas, too",
    ]
    assert (found["next_cursor"], found["previous_cursor"]) == (None, None)
    assert [each["field"] for each in paged.json()["errors"]] == ["query.cursor"]
    assert [each["field"] for each in nothing.json()["errors"]] == ["query.q"]


async def test_conversations_show_the_beginning_of_their_newest_run(
    client: Client,
) -> None:
    begun = await ask(client, "What is a llama?")
    await ask(client, "And an alpaca?", conversation_id=begun)

    [shown] = (await client.get("/conversations/?text=5")).json()["conversations"]
    listed = (await client.get("/history/?text=5")).json()["history"]

    assert shown["newest_run"] == listed[0]
    assert (listed[0]["prompt"], listed[0]["response"]) == ("And a", "Hello")
