"""OpenAI's Responses API: conversations that become shorter."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ByteSize

from llamakeep.api.openai.responses.summaries import HEADING, INSTRUCTION, PREFIX
from llamakeep.domain import Refusal, Text
from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.base import Finished, ItemBegun, ItemText
from llamakeep.settings import Settings
from tests.api.accounts.test_keys import make, with_key
from tests.api.openai.responding import NOBODYS, ask, said, text_of
from tests.api.openai.responses.test_tools import ASKS, CALL_A, FLAT, call, output
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider
from tests.images import data_url, image, png

COMPACT = "/v1/responses/compact"
SUMMARY = "It is -3 in Oslo."
ITEM = {"type": "compaction", "encrypted_content": PREFIX + SUMMARY}
WITH_TOOLS: list[Any] = [
    {"role": "developer", "content": "Be brief."},
    ASKS,
    call(),
    output(),
    {"role": "assistant", "content": "It is."},
]


async def compact(client: Client, **body: Any) -> dict[str, Any]:
    response = await client.post(COMPACT, json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def kept(compacted: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the messages that are left in front of the summary."""
    return [
        (item["role"], item["content"][0]["text"]) for item in compacted["output"][:-1]
    ]


async def test_a_conversation_becomes_the_users_messages_and_a_summary(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = (SUMMARY,)

    compacted = await compact(client, input=WITH_TOOLS, instructions="In Danish.")
    provider.script = ("Now it is 7.",)
    answer = await ask(client, [*compacted["output"], {"role": "user", "content": "?"}])

    assert compacted["object"] == "response.compaction"
    assert compacted["usage"]["total_tokens"] == 10
    assert kept(compacted) == [("system", "Be brief."), ("user", "Is it cold?")]
    assert {**compacted["output"][-1], "id": ""} == ITEM | {"id": ""}
    asked, following = provider.requests
    assert [one.role for one in asked.messages] == [
        *("system", "system", "user", "assistant", "tool", "assistant", "user")
    ]
    assert asked.messages[0].content == "In Danish."
    assert asked.messages[-1].content == INSTRUCTION
    assert [(one.role, one.content) for one in following.messages] == [
        ("system", "Be brief."),
        ("user", "Is it cold?"),
        ("assistant", HEADING + SUMMARY),
        ("user", "?"),
    ]
    assert text_of(answer) == "Now it is 7."


async def test_the_summary_is_a_run_of_the_history_in_a_conversation_of_its_own(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await ask(client, "I am Ada.")
    second = await ask(client, "Hm?", previous_response_id=first["id"])

    compacted = await compact(client, previous_response_id=second["id"])
    read = said(provider)
    await ask(client, "Who?", conversation=first["conversation"]["id"])

    assert read == [
        ("user", "I am Ada."),
        ("assistant", "Hello, world"),
        ("user", "Hm?"),
        ("assistant", "Hello, world"),
        ("user", INSTRUCTION),
    ]
    assert kept(compacted) == [("user", "I am Ada."), ("user", "Hm?")]
    assert INSTRUCTION not in str(said(provider))
    run = next(run for run in await client.history() if run["prompt"] == INSTRUCTION)
    assert run["id"].partition("_")[2] == compacted["id"].partition("_")[2]
    assert run["response"] == "Hello, world"
    assert run["source"] == "responses"
    assert run["usage"]["input_tokens"] == 7


async def test_input_follows_what_a_response_continues(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.script = (ItemBegun(replace(CALL_A, text="")), ItemText(CALL_A.text))
    first = await ask(client, [ASKS], tools=[FLAT])
    provider.script = (SUMMARY,)

    body = {"previous_response_id": first["id"], "input": [output()]}
    compacted = await compact(client, **body)
    missing = await client.post(COMPACT, json={"previous_response_id": first["id"]})

    assert kept(compacted) == [("user", "Is it cold?")]
    assert provider.requests[-1].messages[2].role == "tool"
    assert missing.status_code == 400
    assert "No tool output found" in missing.text


async def test_what_was_compacted_can_be_compacted_again(
    client: Client, provider: ScriptedProvider
) -> None:
    given = [ASKS, ITEM, {"role": "user", "content": "And Bergen?"}]

    compacted = await compact(client, input=given)

    assert kept(compacted) == [("user", "Is it cold?"), ("user", "And Bergen?")]
    assert said(provider)[1] == ("assistant", HEADING + SUMMARY)
    assert compacted["output"][-1]["encrypted_content"] == f"{PREFIX}Hello, world"


async def test_images_stay_in_the_users_messages_if_anything_is_kept(
    client: Client, provider: ScriptedProvider
) -> None:
    shown = {"type": "input_image", "image_url": data_url(png())}
    text = {"type": "input_text", "text": "What is this?"}
    first = await ask(client, [{"role": "user", "content": [text, shown]}])
    headers = with_key(await make(client, keeps=False))
    said = {"input": [{"role": "user", "content": [text, shown]}, ASKS]}

    compacted = await compact(client, previous_response_id=first["id"])
    await client.delete(f"/v1/responses/{first['id']}")
    await ask(client, [*compacted["output"], ASKS])
    unkept = await client.post(COMPACT, json=said, headers=headers)

    for asked in provider.requests[:3]:
        assert asked.messages[0].parts == (Text("What is this?"), image(png()))
    assert kept(compacted) == [("user", "What is this?")]
    assert kept(unkept.json()) == [("user", "What is this?"), ("user", "Is it cold?")]
    assert "input_image" not in unkept.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
        ({"input": [call()]}, "input[0].call_id"),
        ({"input": [output()]}, "input[0].call_id"),
        ({"input": [ITEM | {"encrypted_content": "gAAAA"}]}, None),
        ({"input": [ITEM | {"encrypted_content": PREFIX}]}, None),
        ({"input": [{"type": "compaction"}]}, "input[0].encrypted_content"),
        ({"input": "Hi", "stream": True}, "stream"),
        ({"input": "Hi", "tools": [FLAT]}, "tools"),
        ({"previous_response_id": NOBODYS}, "previous_response_id"),
        ({"previous_response_id": "x"}, "previous_response_id"),
        ({"input": [{"role": "user", "content": "a"}] * 4097}, "input"),
    ],
)
async def test_what_cannot_be_compacted_is_refused_by_name(
    shared_client: Client, body: dict[str, Any], param: str | None
) -> None:
    response = await shared_client.post(COMPACT, json=body)

    assert response.status_code == 400, response.text
    expected = param or "input[0].encrypted_content"
    assert response.json()["error"]["param"] == expected
    assert await shared_client.history() == []


async def test_the_largest_input_leaves_room_for_the_question(client: Client) -> None:
    given = [{"role": "user", "content": "a"}] * 4096

    compacted = await compact(client, input=given)

    assert len(compacted["output"]) == 4097


@pytest.mark.parametrize(
    ("script", "finished", "words"),
    [
        (("So far",), Finished("length"), "cut off"),
        (("So far",), Finished("content_filter"), "cut off"),
        ((" ",), Finished("stop"), "wrote no summary"),
        ((ItemBegun(Refusal()), ItemText("No.")), Finished("stop"), "wrote no summary"),
    ],
)
async def test_what_is_no_summary_is_an_error_that_names_the_run(
    client: Client, provider: ScriptedProvider, script: Any, finished: Any, words: str
) -> None:
    provider.script, provider.finished = script, finished

    response = await client.post(COMPACT, json={"input": "Hi"})

    assert response.status_code == 502
    assert response.headers["x-should-retry"] == "false"
    [run] = await client.history()
    assert words in response.json()["error"]["message"]
    assert run["id"] in response.json()["error"]["message"]


async def test_a_provider_that_fails_is_an_error_as_with_other_prompts(
    client: Client, provider: ScriptedProvider
) -> None:
    provider.refusal = ProviderUnavailable("It is down.")

    response = await client.post(COMPACT, json={"input": "Hi"})

    assert response.status_code == 503
    [run] = await client.history()
    assert run["status"] == "failed"


async def test_a_repeated_request_gets_the_same_summary_once(client: Client) -> None:
    headers = {"Idempotency-Key": "k"}

    answers = [
        await client.post(COMPACT, json={"input": WITH_TOOLS}, headers=headers)
        for _ in range(2)
    ]
    other = await client.post(COMPACT, json={"input": "Hi"}, headers=headers)

    assert answers[0].json() == answers[1].json()
    assert other.status_code == 422
    assert len(await client.history()) == 1


async def test_a_summary_is_returned_also_where_no_texts_are_kept(
    client: Client, provider: ScriptedProvider
) -> None:
    headers = with_key(await make(client, keeps=False))

    response = await client.post(COMPACT, json={"input": WITH_TOOLS}, headers=headers)
    compacted = response.json()

    assert len(kept(compacted)) == 2
    assert compacted["output"][-1]["encrypted_content"] == f"{PREFIX}Hello, world"
    [run] = await client.history()
    assert (run["prompt"], run["response"]) == ("", "")
    assert provider.requests[-1].messages[-1].content == INSTRUCTION


async def test_another_users_response_cannot_be_compacted(client: Client) -> None:
    mine = await ask(client, "Hi")

    response = await client.post(
        COMPACT, json={"previous_response_id": mine["id"]}, headers=BOB
    )

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "previous_response_not_found"


async def test_more_than_a_model_is_given_is_not_compacted(settings: Settings) -> None:
    small = settings.model_copy(update={"max_context_size": ByteSize(2048)})
    async with connect(small, ScriptedProvider()) as client:
        response = await client.post(COMPACT, json={"input": "Hi " * 1000})
        assert await client.history() == []

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
