"""Coming back to a run: every position leads to exactly the stored text."""

import asyncio

import pytest

from llamakeep.settings import Settings
from tests.api.serving import Client, ServerSentEvent, connect
from tests.fakes import ScriptedProvider
from tests.waiting import until

SCRIPT = ("Caf\u00e9 ", "\U0001f999", "\U0001f999 ", "\n\ndata: x\n", "e", "\u0301.")
TEXT = "".join(SCRIPT)


def joined(events: list[ServerSentEvent], have: str) -> str:
    """Return what a client that had `have` has after `events`."""
    for one in events:
        if one.event == "delta":
            have += one.data["text"]
        elif one.event == "reset":
            have = one.data["text"]
    return have


@pytest.mark.parametrize("way", ["starting_after", "Last-Event-ID"])
async def test_a_run_that_is_over_can_be_resumed_at_every_offset(
    settings: Settings, way: str
) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        run_id = await client.begin()
        await client.ended(run_id)
        for offset in range(len(TEXT) + 1):
            position = {way: str(offset)}
            events = await client.events(
                "GET",
                f"/history/{run_id}/stream",
                params=position if way == "starting_after" else None,
                headers=position if way == "Last-Event-ID" else None,
            )

            assert joined(events, TEXT[:offset]) == TEXT
            assert events[-1].event == "done"
            assert events[-1].data["response"] == TEXT
            assert "reset" not in [one.event for one in events]


async def test_a_run_that_goes_on_can_be_resumed_at_every_offset(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([*SCRIPT[:4], go_on, *SCRIPT[4:]])

    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.written(run_id, "".join(SCRIPT[:4]))
        following = [
            asyncio.create_task(
                client.events(
                    "GET", f"/history/{run_id}/stream?starting_after={offset}"
                )
            )
            for offset in range(len("".join(SCRIPT[:4])) + 1)
        ]
        await asyncio.sleep(0.05)
        go_on.set()
        found = await asyncio.gather(*following)

    for offset, events in enumerate(found):
        assert joined(events, TEXT[:offset]) == TEXT
        assert "reset" not in [one.event for one in events]


async def test_the_id_of_every_event_is_a_position_to_resume_from(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        first = await client.events(
            "POST", "/prompt/", json={"prompt": "Hi", "stream": True}
        )
        run_id = first[0].data["id"]
        have = ""
        for one in first[1:-1]:
            have += one.data["text"]
            rest = await client.events(
                "GET", f"/history/{run_id}/stream", headers={"Last-Event-ID": one.id}
            )

            assert joined(rest, have) == TEXT


@pytest.mark.parametrize("beyond", ["99", f"{len(TEXT) + 1}", "3@7", "999999999"])
async def test_a_position_that_does_not_exist_gets_the_whole_text_again(
    settings: Settings, beyond: str
) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        run_id = await client.begin()
        await client.ended(run_id)
        events = await client.events(
            "GET", f"/history/{run_id}/stream?starting_after={beyond}"
        )

    assert [one.event for one in events] == ["run", "reset", "done"]
    assert events[1].data == {"text": TEXT}


async def test_the_query_parameter_counts_more_than_the_header(client: Client) -> None:
    run_id = await client.begin()
    await client.ended(run_id)

    events = await client.events(
        "GET",
        f"/history/{run_id}/stream?starting_after=7",
        headers={"Last-Event-ID": "2"},
    )

    assert events[1].data == {"text": "world"}


@pytest.mark.parametrize("position", ["-1", "1.5", "x", "1@", "@1", "1 2", "9" * 33])
async def test_what_is_no_position_is_refused(
    shared_client: Client, position: str
) -> None:
    run_id = await shared_client.begin()  # left there: nobody in here counts runs

    by_query = await shared_client.get(
        f"/history/{run_id}/stream", params={"starting_after": position}
    )
    by_header = await shared_client.get(
        f"/history/{run_id}/stream", headers={"Last-Event-ID": position}
    )

    assert by_query.status_code == by_header.status_code == 422
    assert by_query.json()["errors"][0]["field"] == "query.starting_after"
    assert by_header.json()["errors"][0]["field"] == "header.last-event-id"


async def test_two_positions_are_refused(shared_client: Client) -> None:
    run_id = await shared_client.begin()

    response = await shared_client.get(
        f"/history/{run_id}/stream",
        headers=[("Last-Event-ID", "1"), ("Last-Event-ID", "2")],
    )

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "header.last-event-id"


async def test_many_may_follow_one_run(settings: Settings) -> None:
    go_on = asyncio.Event()

    async with connect(settings, ScriptedProvider([*SCRIPT, go_on, "!"])) as client:
        run_id = await client.begin()
        following = [
            asyncio.create_task(client.events("GET", f"/history/{run_id}/stream"))
            for _ in range(20)
        ]
        await asyncio.sleep(0.05)
        go_on.set()
        found = await asyncio.gather(*following)

    assert {joined(events, "") for events in found} == {TEXT + "!"}


async def test_an_unfinished_run_says_where_a_reader_of_its_text_is(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([*SCRIPT[:3], go_on, *SCRIPT[3:]])
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.written(run_id, "".join(SCRIPT[:3]))
        shown = (await client.get(f"/history/{run_id}")).json()
        [listed] = await client.history()
        [short] = (await client.get("/history/?text=3")).json()["history"]
        position = {"starting_after": shown["position"]}
        go_on.set()
        events = await client.events(
            "GET", f"/history/{run_id}/stream", params=position
        )
        [ended] = await client.history()

    assert shown == listed
    assert (short["response"], short["position"]) == ("Caf", "3")
    assert joined(events, shown["response"]) == ended["response"] == TEXT
    assert "reset" not in [one.event for one in events]
    assert ended["position"] is None


async def test_the_text_of_an_attempt_that_broke_off_is_not_taken_for_the_next_ones(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Once", asyncio.Event()], is_free=True)
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        await client.written(run_id, "Once")
    go_on = asyncio.Event()
    other = ScriptedProvider([go_on, "Twice"], is_free=True)
    async with connect(settings, other) as client:
        await until(lambda: other.requests)
        shown = (await client.get(f"/history/{run_id}")).json()
        position = {"starting_after": shown["position"]}
        go_on.set()
        events = await client.events(
            "GET", f"/history/{run_id}/stream", params=position
        )

    assert (shown["response"], shown["position"]) == ("Once", "4")
    assert joined(events, shown["response"]) == "Twice"
