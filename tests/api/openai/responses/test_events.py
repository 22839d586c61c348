"""OpenAI's Responses API: the events of a response, and coming back to them."""

import asyncio
from typing import Any

import pytest

from llamakeep.domain import Run, RunStatus, new_id, utc_now
from llamakeep.errors import ProviderUnavailable, StorageUnavailable
from llamakeep.providers.base import Finished
from llamakeep.settings import Settings
from tests.api.openai.responding import ask
from tests.api.serving import Client, ServerSentEvent, connect
from tests.fakes import ScriptedProvider

SCRIPT = ("Caf\u00e9 ", "\U0001f999", "\U0001f999 ", "\n\ndata: x\n", "e", "\u0301.")
TEXT = "".join(SCRIPT)
BEFORE_TEXT = 3
"""The number of the last event before the text."""


async def streamed(client: Client, **fields: Any) -> list[ServerSentEvent]:
    body = {"input": "Hi", "stream": True, **fields}
    return await client.events("POST", "/v1/responses", json=body)


async def resumed(
    client: Client, response_id: str, after: int | None = None
) -> list[ServerSentEvent]:
    query = "?stream=true" + ("" if after is None else f"&starting_after={after}")
    return await client.events("GET", f"/v1/responses/{response_id}{query}")


def numbers(events: list[ServerSentEvent]) -> list[int]:
    return [one.data["sequence_number"] for one in events]


def text_of(events: list[ServerSentEvent]) -> str:
    return "".join(
        one.data["delta"] for one in events if one.event == "response.output_text.delta"
    )


async def test_a_stream_tells_a_response_from_its_creation_to_its_end(
    client: Client,
) -> None:
    events = await streamed(client, instructions="Be brief.")

    end = events[-1].data["response"]
    item_id = end["output"][0]["id"]
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    whole = {"text": "Hello, world"}
    begun = end | {
        "status": "in_progress",
        "output": [],
        "usage": None,
        "completed_at": None,
    }
    assert [(one.event, one.data.pop("sequence_number")) for one in events] == [
        ("response.created", 0),
        ("response.in_progress", 1),
        ("response.output_item.added", 2),
        ("response.content_part.added", 3),
        ("response.output_text.delta", 3 + 5),
        ("response.output_text.delta", 3 + 7),
        ("response.output_text.delta", 3 + 12),
        ("response.output_text.done", 3 + 12 + 1),
        ("response.content_part.done", 3 + 12 + 2),
        ("response.output_item.done", 3 + 12 + 3),
        ("response.completed", 3 + 12 + 4),
    ]
    assert all(one.data.pop("type") == one.event for one in events)
    assert [one.data for one in events[:-1]] == [
        {"response": begun},
        {"response": begun},
        {
            "output_index": 0,
            "item": end["output"][0] | {"status": "in_progress", "content": []},
        },
        place | {"part": part | {"text": ""}},
        place | {"delta": "Hello", "logprobs": []},
        place | {"delta": ", ", "logprobs": []},
        place | {"delta": "world", "logprobs": []},
        place | whole | {"logprobs": []},
        place | {"part": part | whole},
        {"output_index": 0, "item": end["output"][0]},
    ]
    assert end == (await client.get(f"/v1/responses/{end['id']}")).json()


async def test_a_stream_that_is_over_can_be_resumed_after_every_number(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider(SCRIPT)) as client:
        first = await streamed(client)
        response_id = first[0].data["response"]["id"]
        end = BEFORE_TEXT + len(TEXT) + 4
        for after in range(-1, end + 2):
            events = await resumed(client, response_id, None if after < 0 else after)

            have = max(0, after - BEFORE_TEXT)
            assert TEXT[:have] + text_of(events) == TEXT
            assert all(number > after for number in numbers(events))
            assert numbers(events) == sorted(set(numbers(events)))
            assert [one for one in events if "delta" not in one.event] == [
                one
                for one in first
                if "delta" not in one.event and one.data["sequence_number"] > after
            ]


async def test_a_stream_that_goes_on_can_be_resumed_after_every_number(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    begun = "".join(SCRIPT[:4])
    provider = ScriptedProvider([*SCRIPT[:4], go_on, *SCRIPT[4:]])

    async with connect(settings, provider) as client:
        response_id = (await ask(client, background=True))["id"]
        await client.written(response_id.replace("resp_", "run_"), begun)
        following = [
            asyncio.create_task(resumed(client, response_id, after))
            for after in range(BEFORE_TEXT + len(begun) + 1)
        ]
        await asyncio.sleep(0.05)
        go_on.set()
        found = await asyncio.gather(*following)

    for after, events in enumerate(found):
        assert TEXT[: max(0, after - BEFORE_TEXT)] + text_of(events) == TEXT
        assert numbers(events)[0] > after
        assert events[-1].event == "response.completed"


async def test_a_background_stream_has_the_same_events(client: Client) -> None:
    events = await streamed(client, background=True)

    again = await resumed(client, events[0].data["response"]["id"])

    assert text_of(events) == "Hello, world"
    assert [one for one in again if "delta" not in one.event] == [
        one for one in events if "delta" not in one.event
    ]


async def test_an_answer_without_text_is_told_in_full(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider([])) as client:
        events = await streamed(client)

    assert numbers(events) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert events[-1].data["response"]["output"][0]["content"][0]["text"] == ""


async def test_an_answer_that_was_cut_ends_as_incomplete(settings: Settings) -> None:
    provider = ScriptedProvider(["Hello"], finished=Finished("length"))

    async with connect(settings, provider) as client:
        events = await streamed(client)

    assert [one.event for one in events[-2:]] == [
        "response.output_item.done",
        "response.incomplete",
    ]
    assert events[-2].data["item"]["status"] == "incomplete"
    assert events[-1].data["response"]["status"] == "incomplete"


async def test_a_prompt_that_is_refused_gets_a_status_code_and_no_events(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(refusal=ProviderUnavailable("It is down."))

    async with connect(settings, provider) as client:
        response = await client.post(
            "/v1/responses", json={"input": "Hi", "stream": True}
        )

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "provider_unavailable"


@pytest.mark.parametrize(
    ("script", "seen"), [((), []), (("Hel",), [2, 3, BEFORE_TEXT + 3])]
)
async def test_a_background_stream_that_fails_ends_with_what_is_there(
    settings: Settings, script: tuple[str, ...], seen: list[int]
) -> None:
    provider = ScriptedProvider([*script, ProviderUnavailable("It broke off.")])

    async with connect(settings, provider) as client:
        events = await streamed(client, background=True)
        response_id = events[0].data["response"]["id"]
        retrieved = (await client.get(f"/v1/responses/{response_id}")).json()

    text = "".join(script)
    assert numbers(events) == [0, 1, *seen, BEFORE_TEXT + len(text) + 4]
    assert events[-1].event == "response.failed"
    assert events[-1].data["response"] == retrieved
    assert retrieved["error"] == {"code": "server_error", "message": "It broke off."}
    assert text_of(events) == text


async def test_a_stream_whose_response_is_canceled_ends_and_says_so(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Hello", asyncio.Event()])

    async with connect(settings, provider) as client:
        response_id = (await ask(client, background=True))["id"]
        following = asyncio.create_task(resumed(client, response_id))
        await client.written(response_id.replace("resp_", "run_"), "Hello")
        await client.post(f"/v1/responses/{response_id}/cancel")
        events = await following

    assert numbers(events)[-1] == BEFORE_TEXT + 5 + 4
    assert events[-1].event == "response.incomplete"
    assert events[-1].data["response"]["status"] == "cancelled"


async def stored(client: Client, **facts: Any) -> str:
    """Keep a run as it is after some attempts, and return its response's id."""
    alice = await client.alice()
    rest = new_id("")
    run = Run(
        id=f"run_{rest}",
        user_id=alice.id,
        provider="scripted",
        model="parrot",
        prompt="Hi",
        conversation_id=f"conv_{rest}",
        created_at=utc_now(),
        finished_at=utc_now(),
        **facts,
    )
    await client.storage.accept(run, node=None)
    return f"resp_{rest}"


@pytest.mark.parametrize("characters", [3, 8, 9, 12, 13, 99])
async def test_who_has_text_that_was_made_anew_is_told_to_fetch_all(
    client: Client, characters: int
) -> None:
    response_id = await stored(
        client,
        status=RunStatus.SUCCEEDED,
        attempt=2,
        response="Anew and",
        common_length=2,
    )
    after = BEFORE_TEXT + characters

    [event] = await resumed(client, response_id, after)

    assert event.event == "error"
    assert event.data.pop("message").startswith("The server had to begin this answer")
    assert event.data == {
        "type": "error",
        "code": "run_interrupted",
        "param": None,
        "sequence_number": after,
    }


@pytest.mark.parametrize("characters", [0, 1, 2])
async def test_who_has_only_text_that_all_attempts_share_goes_on(
    client: Client, characters: int
) -> None:
    response_id = await stored(
        client,
        status=RunStatus.SUCCEEDED,
        attempt=2,
        response="Anew and",
        common_length=2,
    )

    events = await resumed(client, response_id, BEFORE_TEXT + characters)

    assert text_of(events) == "Anew and"[characters:]
    assert events[-1].event == "response.completed"


async def test_a_run_that_an_earlier_server_left_is_a_failed_response(
    client: Client,
) -> None:
    response_id = await stored(
        client,
        status=RunStatus.INTERRUPTED,
        attempt=2,
        response="Half an",
        common_length=7,
        error_code="run-interrupted",
        error_detail="The server stopped.",
    )

    events = await resumed(client, response_id, BEFORE_TEXT + 5)

    assert text_of(events) == "an"
    assert events[-1].event == "response.failed"
    assert events[-1].data["response"]["error"]["message"] == "The server stopped."


async def test_a_stream_whose_end_nobody_can_tell_can_be_resumed_after_its_error(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider(["Hello", go_on, ", world"])

    async with connect(settings, provider) as client:
        response_id = (await ask(client, background=True))["id"]
        run_id = response_id.replace("resp_", "run_")
        await client.written(run_id, "Hello")
        following = asyncio.create_task(resumed(client, response_id))
        await asyncio.sleep(0.05)
        live = client.engine._runner.live[run_id]
        live.fail(StorageUnavailable("The disk is full."))
        events = await following
        live.trouble = None
        go_on.set()
        rest = await resumed(client, response_id, numbers(events)[-1])

    assert events[-1].event == "error"
    assert events[-1].data["code"] == "storage_unavailable"
    assert numbers(events)[-1] == numbers(events)[-2]
    assert text_of(events) + text_of(rest) == "Hello, world"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("starting_after=3", "starting_after"),
        ("stream=true&starting_after=-1", "starting_after"),
        ("stream=true&starting_after=x", "starting_after"),
        ("stream=maybe", "stream"),
        ("stream=true&include_obfuscation=true", "include_obfuscation"),
        ("include[]=message.audio", "include"),
    ],
)
async def test_what_cannot_be_followed_so_is_refused_by_name(
    client: Client, query: str, param: str
) -> None:
    response = await ask(client)

    answer = await client.get(f"/v1/responses/{response['id']}?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
