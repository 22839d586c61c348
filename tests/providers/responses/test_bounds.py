"""Responses of servers that say too much, too often or out of place."""

import tracemalloc
from typing import Any

import pytest

from llamakeep.domain import Text
from llamakeep.domain.messages import LONGEST_CALL_ID, LONGEST_NAME
from llamakeep.errors import ProviderAnswerInvalid
from llamakeep.providers.openai.chat_completions import MAX_LOGPROBS
from llamakeep.providers.openai.items import joined
from llamakeep.providers.responses import parts
from llamakeep.providers.responses.parts import MOST_PARTS
from llamakeep.providers.responses.reading import ResponseReader


def reader() -> ResponseReader:
    return ResponseReader("The server", has_logprobs=True)


def delta(text: str, output_index: Any, **more: Any) -> dict[str, Any]:
    kind = "response.output_text.delta"
    return {"type": kind, "output_index": output_index, "delta": text, **more}


def test_a_copy_with_very_many_items_is_refused_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each that is complete is looked for among all before it.
    closed: list[int] = []
    monkeypatch.setattr(parts.Parts, "close", lambda _, index: closed.append(index))
    items = [{"type": "function_call"}] * 10 * MOST_PARTS
    copy = {"id": "resp_a", "status": "in_progress", "output": items}

    with pytest.raises(ProviderAnswerInvalid, match=f"more than {MOST_PARTS} parts"):
        reader().read_copy(copy)

    assert len(closed) == MOST_PARTS


def test_logprobs_without_text_do_not_add_up_for_ever() -> None:
    tokens = [{"token": "x" * 1000, "logprob": -1.0}] * 1000
    found = reader()

    for _ in range(MAX_LOGPROBS // 1_100_000):
        found.read(delta("", 0, logprobs=tokens))
    with pytest.raises(ProviderAnswerInvalid, match="logprobs"):
        found.read(delta("", 0, logprobs=tokens * 5))


def test_a_call_with_a_long_name_is_refused_and_not_kept_while_it_waits() -> None:
    long = "n" * 100_000
    call = {"type": "function_call", "name": long, "call_id": long}
    head = parts.call_in(call, 1)
    found = reader()
    found.read(delta("First,", 0))
    found.read({"type": "response.output_item.added", "output_index": 1, "item": call})

    assert len(head.name) == LONGEST_NAME + 1
    assert len(head.call_id) == LONGEST_CALL_ID + 1
    with pytest.raises(ProviderAnswerInvalid, match="name of a tool"):
        found.read({"type": "response.completed", "response": {}})


@pytest.mark.parametrize("output_index", [MOST_PARTS, 10**9, 10**30])
def test_an_item_with_a_high_index_is_an_item_of_its_own(output_index: int) -> None:
    found = reader()
    item = {"type": "message"}
    end = {"type": "response.output_item.done", "output_index": 0, "item": item}

    said = [found.read(each) for each in (delta("a", 0), end, delta("b", output_index))]

    assert joined(said) == "ab"


def test_what_is_of_another_response_ends_nothing_and_adds_nothing() -> None:
    found = reader()
    found.read({"type": "response.created", "response": {"id": "resp_a"}})
    text = {"type": "output_text", "text": "Of another user."}
    output = [{"type": "message", "content": [text]}]
    other = {"id": "resp_b", "status": "completed", "output": output}

    with pytest.raises(ProviderAnswerInvalid, match="another response"):
        found.read({"type": "response.completed", "response": other})

    assert (found.id, found.is_over) == ("resp_a", False)


def test_a_short_repetition_of_a_long_text_does_not_copy_it() -> None:
    key, long = parts.Key(0, parts.CONTENT), "a" * 1_000_000
    received = parts.Parts()
    received.grow(key, Text, long)
    received.grow(key, Text, "b")
    tracemalloc.start()
    try:
        received.complete(key, Text, "aa", is_done=False)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100_000
    received.complete(key, Text, f"{long}bc", is_done=True)
    assert received.take() == [Text(f"{long}bc")]
