"""Listing, searching, showing, cancelling and deleting runs."""

import asyncio
from typing import Any

import pytest

from llamakeep.settings import Settings
from tests.api.serving import BOB, PROMPT, Client, connect
from tests.fakes import ScriptedProvider


async def pages(client: Client, **params: Any) -> list[list[str]]:
    """Return the prompts on each page, following the cursors to the end."""
    found: list[list[str]] = []
    cursor: str | None = None
    while cursor or not found:
        query = params | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/history/", params=query)).json()
        found.append([one["prompt"] for one in page["history"]])
        cursor = page["next_cursor"]
    return found


async def ask(client: Client, *prompts: str) -> None:
    for prompt in prompts:
        await client.post("/prompt/", json={"prompt": prompt})


async def test_an_empty_history_is_one_empty_page(client: Client) -> None:
    response = await client.get("/history/")

    assert response.json() == {
        "history": [],
        "next_cursor": None,
        "previous_cursor": None,
        "highlights": None,
    }


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1, [["5"], ["4"], ["3"], ["2"], ["1"]]),
        (2, [["5", "4"], ["3", "2"], ["1"]]),
        (5, [["5", "4", "3", "2", "1"]]),
        (200, [["5", "4", "3", "2", "1"]]),
    ],
)
async def test_pages_show_every_run_once_newest_first(
    client: Client, limit: int, expected: list[list[str]]
) -> None:
    await ask(client, "1", "2", "3", "4", "5")

    assert await pages(client, limit=limit) == expected


async def test_a_page_stays_the_same_while_new_runs_come(client: Client) -> None:
    await ask(client, "1", "2", "3")
    first = (await client.get("/history/?limit=1")).json()
    await ask(client, "4")

    second = await client.get(f"/history/?limit=1&cursor={first['next_cursor']}")

    assert [one["prompt"] for one in second.json()["history"]] == ["2"]


async def test_a_page_has_fifty_runs_unless_told_otherwise(client: Client) -> None:
    await asyncio.gather(
        *(client.post("/prompt/", json={"prompt": str(n)}) for n in range(51))
    )

    assert [len(page) for page in await pages(client)] == [50, 1]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("llama", ["A llama?"]),
        ("LLAMA", ["A llama?"]),
        ("hello, WORLD", ["100% of 'it'", "A llama?"]),
        ("100%", ["100% of 'it'"]),
        ("lla*", ["A llama?"]),
        ("'it", ["100% of 'it'"]),
        ('"world hello"', []),
        ("llamas", []),
        ("alpaca", []),
        ("", ["100% of 'it'", "A llama?"]),
        (" ", ["100% of 'it'", "A llama?"]),
    ],
)
async def test_the_history_can_be_searched(
    client: Client, q: str, expected: list[str]
) -> None:
    await ask(client, "A llama?", "100% of 'it'")

    assert await pages(client, q=q) == [expected]


async def test_a_search_has_pages_too(client: Client) -> None:
    await ask(client, "a llama", "an alpaca", "two llamas", "many llamas")

    found = await pages(client, q="llama*", limit=1)

    assert found == [["many llamas"], ["two llamas"], ["a llama"]]


async def test_a_search_for_nothing_says_so(client: Client) -> None:
    response = await client.get("/history/", params={"q": "%"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "query.q"


async def test_the_best_matches_can_come_first(client: Client) -> None:
    await ask(client, "llama llama llama", "a llama and so much more to read")

    page = await client.get("/history/?q=llama&sort=best")

    assert [one["prompt"] for one in page.json()["history"]] == [
        "llama llama llama",
        "a llama and so much more to read",
    ]


@pytest.mark.parametrize(
    "query", ["sort=best", f"sort=best&q=x&cursor=run_{'0' * 26}", "sort=worst"]
)
async def test_the_best_of_what_is_not_a_search_cannot_be_had(
    shared_client: Client, query: str
) -> None:
    response = await shared_client.get(f"/history/?{query}")

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "query.sort"


async def test_a_search_shows_where_the_words_are(client: Client) -> None:
    await ask(client, "x " * 100 + "<b>Is it a LLAMA?</b>" + " y" * 200)

    found = (await client.get('/history/?q="a llama" wor*')).json()

    [run] = found["history"]
    places = found["highlights"][run["id"]]
    before, match, after = places["prompt"]
    assert (before[:3], before[-9:]) == ("… x", "<b>Is it ")
    assert match == "a LLAMA"
    assert (after[:6], after[-1]) == ("?</b> ", "…")
    assert places["response"] == ["Hello, ", "world", ""]


async def test_a_text_without_the_words_has_no_highlights(client: Client) -> None:
    await ask(client, "Greet me")

    found = (await client.get("/history/?q=hello")).json()

    assert list(found["highlights"].values()) == [
        {"prompt": None, "response": ["", "Hello", ", world"]}
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_pages_can_be_turned_back(client: Client, limit: int) -> None:
    await ask(client, "1", "2", "3", "4", "5")

    there, back = [], []
    page = (await client.get(f"/history/?limit={limit}")).json()
    while page["next_cursor"]:
        there.append(page)
        page = await turned(client, limit, page["next_cursor"])
    while page["previous_cursor"]:
        page = await turned(client, limit, page["previous_cursor"])
        back.append(page)

    assert [page["history"] for page in back[::-1]] == [p["history"] for p in there]


@pytest.mark.parametrize("text", [None, 3])
async def test_a_run_in_the_middle_is_a_place_to_begin_in_both_directions(
    client: Client, text: int | None
) -> None:
    await ask(client, "1")
    [first] = await client.history()
    here = {"conversation_id": first["conversation_id"]}
    for prompt in "23456789":
        await client.post("/prompt/", json={"prompt": prompt, **here})
        await ask(client, "elsewhere")
    query: dict[str, Any] = here | {"limit": 2} | ({"text": text} if text else {})
    listed = (await client.get("/history/", params=here)).json()["history"]
    middle = next(run["id"] for run in listed if run["prompt"] == "5")

    async def page(cursor: str) -> tuple[str, Any]:
        params = query | {"cursor": cursor}
        found = (await client.get("/history/", params=params)).json()
        return "".join(run["prompt"] for run in found["history"]), found

    older, below = await page(middle)
    newer, above = await page(f"newer.{middle}")
    oldest, lowest = await page(below["next_cursor"])
    newest, highest = await page(above["previous_cursor"])
    back_up, _ = await page(below["previous_cursor"])
    back_down, _ = await page(above["next_cursor"])

    assert (newest, newer, older, oldest) == ("98", "76", "43", "21")
    assert (back_up, back_down) == ("65", "54")
    assert lowest["next_cursor"] is highest["previous_cursor"] is None


async def turned(client: Client, limit: int, cursor: str) -> dict[str, Any]:
    """Return the page that a cursor leads to."""
    response = await client.get(f"/history/?limit={limit}&cursor={cursor}")
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"model": "scripted:parrot"}, 2),
        ({"model": "nobody:parrot"}, 0),
        ({"status": "succeeded", "q": "one"}, 1),
        ({"status": "failed"}, 0),
        ({"status": ["failed", "succeeded"]}, 2),
        ({"api_key_id": "key_x"}, 0),
        ({"since": "2020-01-01"}, 2),
        ({"since": "2020-01-01T00:00:00 02:00"}, 2),
        ({"until": "2020-01-01T00:00:00Z"}, 0),
    ],
)
async def test_the_history_can_be_narrowed(
    client: Client, facts: dict[str, Any], expected: int
) -> None:
    await ask(client, "one", "two")

    response = await client.get("/history/", params=facts)

    assert len(response.json()["history"]) == expected


async def test_a_conversation_can_be_listed(client: Client) -> None:
    await ask(client, "one", "two")
    [two, _] = await client.history()

    found = await pages(client, conversation_id=two["conversation_id"])

    assert found == [["two"]]


@pytest.mark.parametrize(
    "query",
    [
        "status=done",
        "since=yesterday",
        "until=0.5",
        "cursor=older.run_x",
        "until=1e400",
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(
    shared_client: Client, query: str
) -> None:
    response = await shared_client.get(f"/history/?{query}")

    assert response.status_code == 422
    field = response.json()["errors"][0]["field"]
    assert field.removesuffix(".0") == f"query.{query.partition('=')[0]}"


async def test_a_run_looks_the_same_alone_and_in_the_list(client: Client) -> None:
    await ask(client, "Hi")
    [listed] = await client.history()

    alone = await client.get(f"/history/{listed['id']}")

    assert alone.json() == listed
    assert listed["timestamp"][:19] == listed["created_at"][:19]


async def test_a_run_can_be_looked_at_while_it_goes_on(settings: Settings) -> None:
    go_on = asyncio.Event()

    async with connect(settings, ScriptedProvider(["Well, ", go_on, "no"])) as client:
        run_id = await client.begin()
        await client.written(run_id, "Well, ")
        run = (await client.get(f"/history/{run_id}")).json()
        go_on.set()
        await client.ended(run_id)

    assert (run["status"], run["response"]) == ("processing", "Well, ")
    assert run["finished_at"] is None


async def test_canceling_stops_a_run_and_keeps_its_text(settings: Settings) -> None:
    provider = ScriptedProvider(["Well, ", asyncio.Event(), "never"])

    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.written(run_id, "Well, ")
        response = await client.post(f"/history/{run_id}/cancel")
        kept = await client.get(f"/history/{run_id}")

    assert response.status_code == 200
    assert response.json() == kept.json()
    assert (kept.json()["status"], kept.json()["response"]) == ("canceled", "Well, ")
    assert kept.json()["error"]["type"] == "run-canceled"
    assert provider.closed_early == 1


async def test_who_waits_for_a_canceled_run_is_told(settings: Settings) -> None:
    provider = ScriptedProvider(["Well, ", asyncio.Event()])

    async with connect(settings, provider) as client:
        waiting = asyncio.create_task(client.post("/prompt/", json=PROMPT))
        await asyncio.sleep(0.1)
        [run] = await client.history()
        await client.post(f"/history/{run['id']}/cancel")
        response = await waiting

    assert response.status_code == 409
    assert response.json()["type"] == "urn:llamakeep:problem:run-canceled"
    assert response.json()["run_id"] == run["id"]


async def test_a_waiting_run_can_be_canceled_before_it_starts(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on, "Done"])
    narrow = settings.model_copy(update={"max_running": 1})

    async with connect(narrow, provider) as client:
        first, second = await client.begin(), await client.begin()
        response = await client.post(f"/history/{second}/cancel")
        go_on.set()
        await client.ended(first)

    assert response.json()["status"] == "canceled"
    assert len(provider.requests) == 1


async def test_canceling_what_is_over_changes_nothing(client: Client) -> None:
    await ask(client, "Hi")
    [run] = await client.history()

    response = await client.post(f"/history/{run['id']}/cancel")

    assert (response.status_code, response.json()) == (200, run)


async def test_a_deleted_run_is_gone_for_good(client: Client) -> None:
    await ask(client, "keep", "forget")
    [forget, keep] = await client.history()

    response = await client.delete(f"/history/{forget['id']}")

    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(f"/history/{forget['id']}")).status_code == 404
    assert (await client.delete(f"/history/{forget['id']}")).status_code == 404
    assert await client.history() == [keep]


async def test_deleting_a_run_that_goes_on_stops_it_first(settings: Settings) -> None:
    provider = ScriptedProvider(["Well, ", asyncio.Event()])

    async with connect(settings, provider) as client:
        run_id = await client.begin()
        response = await client.delete(f"/history/{run_id}")
        kept = await client.history()

    assert response.status_code == 204
    assert kept == []
    assert provider.open_answers == 0


async def test_a_history_has_only_its_users_runs(client: Client) -> None:
    await ask(client, "Mine")
    await client.post("/prompt/", json={"prompt": "His"}, headers=BOB)

    alices = await client.history()
    bobs = await client.history(**BOB)

    assert [one["prompt"] for one in alices] == ["Mine"]
    assert [one["prompt"] for one in bobs] == ["His"]


async def test_a_list_has_beginnings_of_texts_if_it_is_asked_for_them(
    settings: Settings,
) -> None:
    said = "llama " * 50_000 + "alpaca"
    async with connect(settings, ScriptedProvider([said])) as client:
        await client.post("/prompt/", json={"prompt": "🦙" * 300, "max_tokens": 9})
        await client.post("/prompt/", json={"prompt": "Short?", "seed": 1})

        whole = (await client.get("/history/")).json()["history"]
        response = await client.get("/history/?text=240")
        short = response.json()["history"]
        none = (await client.get("/history/?text=0")).json()["history"]

    assert len(response.content) < 4000
    assert [each["response"] for each in short] == [said[:240]] * 2
    assert [each["prompt"] for each in short] == ["Short?", "🦙" * 240]
    sizes = {"prompt": 1200, "response": len(said), "system_prompt": None}
    assert (short[1]["sizes"], short[1]["is_cut"]) == (sizes, True)
    assert [each["parameters"] for each in short] == [{}, {}]
    assert {each["prompt"] + each["response"] for each in none} == {""}
    assert not {"sizes", "is_cut"} & whole[0].keys()


@pytest.mark.parametrize("sort", ["newest", "best"])
async def test_what_is_found_far_from_the_beginning_is_shown_in_highlights(
    settings: Settings, sort: str
) -> None:
    said = "llama " * 5_000 + "alpaca"
    async with connect(settings, ScriptedProvider([said])) as client:
        await client.post("/prompt/", json={"prompt": "Hi"})

        found = await client.get(f"/history/?q=alpaca&text=5&sort={sort}")

    [run] = found.json()["history"]
    assert run["response"] == "llama"
    assert found.json()["highlights"][run["id"]]["response"][1] == "alpaca"


@pytest.mark.parametrize("text", ["-1", "10001", "x", ""])
async def test_a_beginning_has_a_length(client: Client, text: str) -> None:
    response = await client.get(f"/history/?text={text}")

    assert response.status_code == 422
    assert [each["field"] for each in response.json()["errors"]] == ["query.text"]
