"""How likely the tokens of an answer were, as servers say it."""

import json
from typing import Any

import pytest

from llamakeep.domain import Parameters
from llamakeep.errors import ProviderAnswerInvalid
from llamakeep.providers.openai import chat_completions
from llamakeep.providers.openai.logprobs import logprobs_in
from tests.providers.asking import Answer, ask, asked, request
from tests.providers.stub_server import DONE, END, STOP, Line, event, head

LIKELY = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
OTHER = {"token": "Ho", "logprob": -2, "bytes": None}


def chunk(text: str, *tokens: Any) -> bytes:
    logprobs = {"content": list(tokens)} if tokens else None
    choice = {"index": 0, "delta": {"content": text}, "logprobs": logprobs}
    return event({"choices": [choice]})


async def answered(*script: Line, is_asked: bool = True) -> Answer:
    parameters = Parameters(logprobs=True) if is_asked else None
    async with asked(head(), *script, STOP, DONE, END) as (_, provider):
        return await ask(provider, request(parameters=parameters))


async def test_they_come_before_the_text_that_they_are_of() -> None:
    said = [chunk("Hi", LIKELY | {"top_logprobs": [LIKELY, OTHER]}), chunk("!", OTHER)]
    answer = await answered(*said)

    assert answer.text == "Hi!"
    assert [json.loads(f"[{each}]") for each in answer.logprobs] == [
        [LIKELY | {"top_logprobs": [LIKELY, OTHER]}],
        [OTHER | {"top_logprobs": []}],
    ]


async def test_they_are_not_read_unless_they_were_asked_for() -> None:
    answer = await answered(chunk("Hi", LIKELY), is_asked=False)

    assert (answer.text, answer.logprobs) == ("Hi", [])


async def test_too_many_end_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_completions, "MAX_LOGPROBS", 100)

    with pytest.raises(ProviderAnswerInvalid, match="logprobs of more than"):
        await answered(*[chunk("Hi", LIKELY)] * 3)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, []),
        ("Hi", []),
        ([5, {"token": 5, "logprob": 0}, {"token": "a"}], []),
        ([{"token": "a", "logprob": True}], []),
        (
            [{"token": "\ud83c\0", "logprob": float("-inf"), "bytes": [256]}],
            [{"token": "?\ufffd", "logprob": -9999.0, "bytes": None}],
        ),
    ],
)
def test_what_cannot_be_kept_is_left_out(content: Any, expected: Any) -> None:
    found = json.loads(f"[{logprobs_in({'logprobs': {'content': content}})}]")

    assert found == [each | {"top_logprobs": []} for each in expected]
