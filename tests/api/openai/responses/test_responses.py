"""OpenAI's Responses API: what a response looks like, and what it goes on behind."""

import asyncio

import pytest

from llamakeep.domain import Usage
from llamakeep.errors import PromptRejected, ProviderUnavailable
from llamakeep.providers.base import Finished
from llamakeep.settings import Settings
from tests.api.openai.responding import NOBODYS, ask, refusal, said, text_of
from tests.api.serving import BOB, Client, connect
from tests.fakes import ScriptedProvider


async def test_a_response_has_everything_that_openai_gives_one(client: Client) -> None:
    response = await ask(client, instructions="Be brief.", metadata={"project": "x"})

    rest = response.pop("id").removeprefix("resp_")
    assert len(rest) == 26
    assert response.pop("created_at") <= response.pop("completed_at")
    assert response == {
        "object": "response",
        "status": "completed",
        "model": "scripted:parrot",
        "instructions": "Be brief.",
        "output": [
            {
                "id": f"msg_{rest}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "text": "Hello, world",
                        "annotations": [],
                        "logprobs": [],
                    }
                ],
            }
        ],
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 10,
        },
        "error": None,
        "incomplete_details": None,
        "previous_response_id": None,
        "conversation": {"id": f"conv_{rest}"},
        "background": False,
        "store": True,
        "metadata": {"project": "x"},
        "max_output_tokens": None,
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_tool_calls": None,
        "top_logprobs": 0,
        "truncation": "disabled",
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "prompt": None,
        "prompt_cache_key": None,
        "safety_identifier": None,
        "user": None,
    }


async def test_what_was_answered_can_be_retrieved_as_it_was(client: Client) -> None:
    response = await ask(client)

    retrieved = (await client.get(f"/v1/responses/{response['id']}")).json()

    assert retrieved == response


async def test_a_run_of_the_own_api_is_a_response_too(client: Client) -> None:
    answer = (await client.post("/prompt/", json={"prompt": "Hi"})).json()

    response_id = answer["id"].replace("run_", "resp_")
    retrieved = (await client.get(f"/v1/responses/{response_id}")).json()

    assert text_of(retrieved) == answer["response"]
    assert retrieved["conversation"]["id"] == answer["conversation_id"]


async def test_a_response_is_in_the_history(client: Client) -> None:
    response = await ask(client, "What is FastAPI?", instructions="Be brief.")

    [run] = await client.history()

    assert run["id"] == response["id"].replace("resp_", "run_")
    assert (run["prompt"], run["system_prompt"]) == ("What is FastAPI?", "Be brief.")
    assert run["response"] == "Hello, world"


async def test_a_chain_has_what_was_said_and_branches_where_it_is_told_to(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await ask(client, "One", instructions="Be brief.")
    second = await ask(client, "Two", previous_response_id=first["id"])
    await ask(client, "Three", previous_response_id=second["id"])
    branch = await ask(client, "Other", previous_response_id=first["id"])

    assert said(provider) == [
        ("user", "One"),
        ("assistant", "Hello, world"),
        ("user", "Other"),
    ]
    assert [one.content for one in provider.requests[2].messages] == [
        "One",
        "Hello, world",
        "Two",
        "Hello, world",
        "Three",
    ]
    assert branch["previous_response_id"] == first["id"]
    assert branch["instructions"] is None


async def test_a_conversation_goes_on_behind_all_that_it_has(
    client: Client, provider: ScriptedProvider
) -> None:
    first = await ask(client, "One", instructions="Be brief.")
    await ask(client, "Two", conversation=first["conversation"])
    last = await ask(client, "Three", conversation=first["conversation"]["id"])

    assert said(provider) == [
        ("user", "One"),
        ("assistant", "Hello, world"),
        ("user", "Two"),
        ("assistant", "Hello, world"),
        ("user", "Three"),
    ]
    assert last["conversation"] == first["conversation"]
    assert last["previous_response_id"] is None


async def test_a_response_follows_another_or_a_conversation_but_not_both(
    client: Client,
) -> None:
    first = await ask(client)

    error = await refusal(
        client,
        {
            "previous_response_id": first["id"],
            "conversation": first["conversation"]["id"],
        },
    )

    assert error["param"] == "previous_response_id"
    assert len(await client.history()) == 1


@pytest.mark.parametrize("previous", [NOBODYS, "resp_1", "nothing", "bobs"])
async def test_nothing_goes_on_behind_a_response_that_is_not_there(
    client: Client, previous: str
) -> None:
    if previous == "bobs":
        theirs = await client.post("/v1/responses", json={"input": "Hi"}, headers=BOB)
        previous = theirs.json()["id"]

    error = await refusal(client, {"previous_response_id": previous})

    assert error == {
        "message": "previous_response_id: There is no such response in your history to "
        "continue. Nothing was stored.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
    assert await client.history() == []


async def test_nothing_goes_on_in_somebody_elses_conversation(client: Client) -> None:
    theirs = await client.post("/v1/responses", json={"input": "Hi"}, headers=BOB)

    response = await client.post(
        "/v1/responses",
        json={"input": "Hi", "conversation": theirs.json()["conversation"]},
    )

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "conversation_not_found"


async def test_nothing_goes_on_behind_a_response_that_is_not_done(
    settings: Settings,
) -> None:
    provider = ScriptedProvider([asyncio.Event()])

    async with connect(settings, provider) as client:
        first = await ask(client, background=True)
        error = await refusal(client, {"previous_response_id": first["id"]})

    assert error["code"] == "run_not_answered"


@pytest.mark.parametrize(
    ("finish_reason", "reason"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
async def test_an_answer_that_was_cut_is_incomplete(
    settings: Settings, finish_reason: str, reason: str
) -> None:
    provider = ScriptedProvider(finished=Finished(finish_reason, Usage()))

    async with connect(settings, provider) as client:
        response = await ask(client)

    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": reason}
    assert response["output"][0]["status"] == "incomplete"
    assert response["completed_at"] is None
    assert response["usage"] is None


async def test_a_prompt_that_fails_gets_a_status_code_and_is_a_failed_response(
    settings: Settings,
) -> None:
    provider = ScriptedProvider(["Hel", ProviderUnavailable("It broke off.")])

    async with connect(settings, provider) as client:
        response = await client.post("/v1/responses", json={"input": "Hi"})
        [run] = await client.history()
        response_id = run["id"].replace("run_", "resp_")
        retrieved = (await client.get(f"/v1/responses/{response_id}")).json()

    assert response.status_code == 503
    assert response.headers["x-should-retry"] == "false"
    assert run["id"] in response.json()["error"]["message"]
    assert retrieved["status"] == "failed"
    assert retrieved["error"] == {"code": "server_error", "message": "It broke off."}
    assert text_of(retrieved) == "Hel"
    assert retrieved["output"][0]["status"] == "incomplete"


async def test_a_rejected_prompt_is_the_clients_fault(settings: Settings) -> None:
    provider = ScriptedProvider(refusal=PromptRejected("It is too long."))

    async with connect(settings, provider) as client:
        first = await client.post("/v1/responses", json={"input": "Hi"})
        [run] = await client.history()
        response_id = run["id"].replace("run_", "resp_")
        retrieved = (await client.get(f"/v1/responses/{response_id}")).json()

    assert first.status_code == 400
    assert retrieved["error"] == {
        "code": "invalid_prompt",
        "message": "It is too long.",
    }
    assert retrieved["output"] == []


async def test_the_same_idempotency_key_gets_the_same_response(
    client: Client, provider: ScriptedProvider
) -> None:
    body = {"input": "Hi"}
    key = {"Idempotency-Key": "k"}

    first = await client.post("/v1/responses", json=body, headers=key)
    again = await client.post("/v1/responses", json=body, headers=key)

    assert again.json() == first.json()
    assert len(provider.requests) == 1
