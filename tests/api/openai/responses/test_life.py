"""OpenAI's Responses API: what can be done with a response later."""

import asyncio
from typing import Any

import pytest

from llamakeep.settings import Settings
from tests.api.openai.responding import NOBODYS, ask, first_run, text_of
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider


async def test_a_response_in_the_background_can_be_polled(settings: Settings) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["Hello", go_on, ", world"])

    async with connect(settings, provider) as client:
        first = await ask(client, background=True)
        run_id = first["id"].replace("resp_", "run_")
        await client.written(run_id, "Hello")
        midway = (await client.get(f"/v1/responses/{first['id']}")).json()
        go_on.set()
        await client.ended(run_id)
        last = (await client.get(f"/v1/responses/{first['id']}")).json()

    assert first["status"] in {"queued", "in_progress"}
    assert (first["background"], first["output"]) == (True, [])
    assert (midway["status"], text_of(midway)) == ("in_progress", "Hello")
    assert midway["output"][0]["status"] == "in_progress"
    assert (last["status"], text_of(last)) == ("completed", "Hello, world")


async def test_a_response_can_be_canceled_and_keeps_its_text(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Hello", asyncio.Event()])

    async with connect(settings, provider) as client:
        first = await ask(client, background=True)
        await client.written(first["id"].replace("resp_", "run_"), "Hello")
        canceled = await client.post(f"/v1/responses/{first['id']}/cancel")
        again = await client.post(f"/v1/responses/{first['id']}/cancel")

    assert canceled.status_code == 200
    assert canceled.json()["status"] == "cancelled"
    assert text_of(canceled.json()) == "Hello"
    assert canceled.json()["error"] is None
    assert again.json() == canceled.json()
    assert provider.closed_early == 1


async def test_canceling_what_is_over_changes_nothing(client: Client) -> None:
    response = await ask(client)

    canceled = await client.post(f"/v1/responses/{response['id']}/cancel")

    assert canceled.json() == response


async def test_who_waits_for_a_response_that_is_canceled_gets_it_so(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Hello", asyncio.Event()])

    async with connect(settings, provider) as client:
        waiting = asyncio.create_task(ask(client))
        run_id = await first_run(client)
        await client.written(run_id, "Hello")
        await client.post(f"/history/{run_id}/cancel")
        response = await waiting

    assert (response["status"], text_of(response)) == ("cancelled", "Hello")


async def test_a_deleted_response_is_gone(client: Client) -> None:
    response = await ask(client)

    deleted = await client.delete(f"/v1/responses/{response['id']}")

    assert deleted.json() == {
        "id": response["id"],
        "object": "response",
        "deleted": True,
    }
    assert await client.history() == []
    assert (await client.get(f"/v1/responses/{response['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "?stream=true"),
        ("GET", "/input_items"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ],
)
async def test_unknown_and_somebody_elses_responses_are_the_same_404(
    client: Client, method: str, path: str
) -> None:
    theirs = (
        await client.post("/v1/responses", json={"input": "Hi"}, headers=BOB)
    ).json()["id"]
    run_id = theirs.replace("resp_", "run_")

    answers = [
        (one, await client.request(method, f"/v1/responses/{one}{path}"))
        for one in (theirs, NOBODYS, "resp_1", run_id, "resp_%00")
    ]

    for response_id, answer in answers:
        assert answer.status_code == 404
        name = response_id.replace("%00", "\\x00")
        assert answer.json()["error"] == {
            "message": f"There is no response '{name}' in your history.",
            "type": "invalid_request_error",
            "param": None,
            "code": "run_not_found",
        }
    assert len(await client.history(**BOB)) == 1


async def test_input_items_are_everything_that_the_model_read(client: Client) -> None:
    first = await ask(
        client, [{"role": "system", "content": "Hm"}, {"role": "user", "content": "1"}]
    )
    await ask(client, "aside", previous_response_id=first["id"])
    second = await ask(client, "2", previous_response_id=first["id"])
    one, two = (each["id"].removeprefix("resp_") for each in (first, second))

    items = (
        await client.get(f"/v1/responses/{second['id']}/input_items?order=asc")
    ).json()

    assert items == {
        "object": "list",
        "data": [
            {
                "id": f"msg_{one}_0",
                "type": "message",
                "role": "system",
                "status": "completed",
                "content": [{"type": "input_text", "text": "Hm"}],
            },
            {
                "id": f"msg_{one}_1",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "1"}],
            },
            first["output"][0],
            {
                "id": f"msg_{two}_0",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "2"}],
            },
        ],
        "first_id": f"msg_{one}_0",
        "last_id": f"msg_{two}_0",
        "has_more": False,
    }


async def test_input_items_come_in_pages_newest_first(client: Client) -> None:
    first = await ask(client, "1")
    second = await ask(client, "2", previous_response_id=first["id"])
    path = f"/v1/responses/{second['id']}/input_items"

    page = (await client.get(f"{path}?limit=2")).json()
    rest = (await client.get(f"{path}?limit=2&after={page['last_id']}")).json()

    def texts(found: dict[str, Any]) -> list[str]:
        return [each["content"][0]["text"] for each in found["data"]]

    assert (texts(page), page["has_more"]) == (["2", "Hello, world"], True)
    assert (texts(rest), rest["has_more"]) == (["1"], False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("order=up", "order"),
        ("after=msg_1", "after"),
        ("include[]=message.audio", "include"),
    ],
)
async def test_pages_that_make_no_sense_are_refused_by_name(
    client: Client, query: str, param: str
) -> None:
    response = await ask(client)

    answer = await client.get(f"/v1/responses/{response['id']}/input_items?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
