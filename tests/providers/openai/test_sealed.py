"""What servers want back with reasoning: kept, and handed back as it came."""

import json
from dataclasses import replace
from typing import Any

import pytest

from llamakeep.domain import Reasoning, Text, ToolCall
from llamakeep.domain.messages import message_of
from llamakeep.providers.openai.requests import request_body
from tests.providers.asking import Answer, ask, asked, request
from tests.providers.stub_server import DONE, END, STOP, event, head

ENCRYPTED = {"type": "reasoning.encrypted", "data": "eA==", "format": "f", "index": 1}
SIGNED = {"type": "reasoning.text", "signature": "c2ln", "format": "f", "index": 0}
SIGNATURE = {"google": {"thought_signature": "c2ln"}}
CALL = {
    "index": 0,
    "id": "a",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}


async def answered(*deltas: dict[str, Any]) -> Answer:
    chunks = [event({"choices": [{"index": 0, "delta": each}]}) for each in deltas]
    async with asked(head(), *chunks, STOP, DONE, END) as (_, provider):
        return await ask(provider)


def sent_again(answer: Answer) -> Any:
    """Return the answer as an assistant's message that the server is sent later."""
    begin = [Text(answer.text)] if answer.text and not answer.items else []
    message = message_of("assistant", [*begin, *answer.items])
    [sent] = request_body(replace(request(), messages=[message]))["messages"]
    return sent


async def test_details_with_a_signature_come_back_with_their_text() -> None:
    answer = await answered(
        {
            "reasoning": "Hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}],
        },
        {"reasoning": ".", "reasoning_details": [SIGNED | {"text": "."}]},
        {"reasoning_details": [ENCRYPTED]},
        {"content": "Yes."},
    )

    thoughts, signed, encrypted, text = answer.items
    assert (thoughts, text) == (Reasoning("Hm."), Text("Yes."))
    assert isinstance(signed, Reasoning)
    assert isinstance(encrypted, Reasoning)
    assert json.loads(signed.sealed or "") == {"reasoning_details": [SIGNED]}
    assert sent_again(answer) == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_details": [SIGNED | {"text": "Hm."}, ENCRYPTED],
    }


async def test_details_without_a_signature_are_reasoning_alone() -> None:
    answer = await answered(
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "Hm", "signature": None}
            ]
        },
        {"content": "Yes."},
    )

    assert answer.items == [Reasoning("Hm"), Text("Yes.")]
    assert "reasoning_details" not in sent_again(answer)


@pytest.mark.parametrize("call_id", ["a", None])
async def test_the_signature_of_a_call_stands_before_it_and_comes_back_with_it(
    call_id: str | None,
) -> None:
    answer = await answered(
        {"tool_calls": [CALL | {"id": call_id, "extra_content": SIGNATURE}]},
        {"tool_calls": [CALL | {"index": 1, "id": "b"}]},
    )

    sealed, first, second = answer.items
    assert isinstance(sealed, Reasoning)
    assert isinstance(first, ToolCall)
    assert json.loads(sealed.sealed or "") == {
        "extra_content": SIGNATURE,
        "call_id": first.call_id,
    }
    assert second == ToolCall("b", "f", "{}")
    one, other = sent_again(answer)["tool_calls"]
    assert one["extra_content"] == SIGNATURE
    assert "extra_content" not in other


async def test_the_signature_of_a_message_comes_back_with_it() -> None:
    answer = await answered(
        {"content": "Yes."}, {"content": "", "extra_content": SIGNATURE}
    )

    [sealed] = answer.items
    assert isinstance(sealed, Reasoning)
    assert answer.text == "Yes."
    sent = sent_again(answer)
    assert sent["extra_content"] == SIGNATURE


async def test_additional_content_without_a_signature_is_nothing() -> None:
    answer = await answered(
        {"content": "Hm", "extra_content": {"google": {"thought": True}}}
    )

    assert (answer.text, answer.items) == ("Hm", [])


@pytest.mark.parametrize("sealed", ["gAAAAA==", "[]", '{"reasoning_details": [1]}'])
def test_what_another_server_sealed_is_left_out(sealed: str) -> None:
    answer = Answer(items=[Reasoning(sealed=sealed), Text("Yes.")])

    assert sent_again(answer) == {"role": "assistant", "content": "Yes."}
