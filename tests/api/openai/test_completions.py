"""The older completions: a prompt instead of messages."""

from typing import Any

import pytest

from llamakeep.domain import Message, Parameters
from tests.api.openai.client import error, events
from tests.api.serving import Client
from tests.fakes import ScriptedProvider

COMPLETIONS = "/v1/completions"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
async def test_a_completion_has_the_older_form(
    client: Client, provider: ScriptedProvider, prompt: object
) -> None:
    response = await client.post(COMPLETIONS, json={"prompt": prompt, "max_tokens": 5})

    [kept] = await client.history()
    completion = response.json()
    assert type(completion.pop("created")) is int
    assert completion == {
        "id": kept["id"].replace("run_", "cmpl-"),
        "object": "text_completion",
        "model": "scripted:parrot",
        "choices": [
            {
                "text": "Hello, world",
                "index": 0,
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
    assert provider.requests[0].messages == (Message("user", "Once upon"),)
    assert provider.requests[0].parameters == Parameters(max_tokens=5)


async def test_a_stream_is_made_of_completions_with_a_piece_each(
    client: Client,
) -> None:
    wanted = {"stream": True, "stream_options": {"include_usage": True}}

    response = await client.post(COMPLETIONS, json={"prompt": "Once upon"} | wanted)

    *pieces, last, done = events(response)
    assert {one["object"] for one in pieces} == {"text_completion"}
    assert [one["choices"][0]["text"] for one in pieces] == ["Hello", ", ", "world", ""]
    assert [one["choices"][0]["finish_reason"] for one in pieces] == [
        None,
        None,
        None,
        "stop",
    ]
    assert (last["choices"], last["usage"], done) == ([], USAGE, "[DONE]")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", " "]}, "prompt[1]"),
        ({"prompt": 17 * ["a"]}, "prompt"),
        ({"prompt": 9 * ["a"], "n": 2}, "n"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "."}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 3}, "logprobs"),
        ({"n": 17}, "n"),
        ({"messages": []}, "messages"),
    ],
)
async def test_what_nobody_here_can_do_is_refused_by_name(
    shared_client: Client, more: dict[str, Any], param: str
) -> None:
    response = await shared_client.post(COMPLETIONS, json={"prompt": "Once"} | more)

    assert response.status_code == 400
    assert error(response)["param"] == param
    assert await shared_client.history() == []
