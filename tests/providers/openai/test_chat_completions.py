"""Reading a stream of chat completions, where nearly all events look the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.errors import ProviderAnswerInvalid
from llamakeep.providers.openai.chat_completions import CompletionReader

TRICKY = st.sampled_from(
    ["content", "assistant", "c1", "stop", '"', "\\", "\n", "\0", ",", "}]}", "ö", ""]
)
TEXTS = st.lists(TRICKY | st.text(st.characters(exclude_categories=["Cs"]), max_size=5))


def event(text: object, *, is_ascii: bool = True, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}}
    said = {"id": "c1", "model": "parrot", "choices": [choice | more]}
    return json.dumps(said, ensure_ascii=is_ascii).encode()


def read_all(reader: CompletionReader, events: list[bytes]) -> list[str]:
    """Read a stream of events as one packet has them."""
    blocks = [b"data: " + each for each in events]
    texts: list[str] = []
    at = 0
    while at < len(blocks):
        text, after = reader.parse_batch(blocks, at)
        assert isinstance(text, str)
        texts.append(text)
        at = after
        if at < len(blocks):
            said = reader.read(events[at])
            assert isinstance(said, str)
            texts.append(said)
            at += 1
    return texts


@pytest.mark.slow
@given(TEXTS, st.booleans())
def test_a_text_is_read_whatever_the_events_before_it_had(
    texts: list[str], is_ascii: bool
) -> None:
    reader = CompletionReader("It")

    read = read_all(reader, [event(text, is_ascii=is_ascii) for text in texts])

    assert "".join(read) == "".join(texts).replace("\0", "\ufffd")


def test_events_that_only_differ_in_their_text_are_read_together() -> None:
    reader = CompletionReader("It")

    read = read_all(reader, [event(text) for text in ("one", " two", " three")])

    assert read == ["", "one", " two three"]


def test_a_text_on_lines_of_its_own_is_no_template() -> None:
    reader = CompletionReader("It")
    reader.read(event("one").replace(b", ", b",\n"))

    assert reader.parse_batch([b"data: " + event("two").replace(b", ", b",\n")], 0) == (
        "",
        0,
    )


def test_the_reason_why_it_ended_is_seen_behind_many_events_without_one() -> None:
    reader = CompletionReader("It")
    words = [event(word, finish_reason=None) for word in ("one ", "two ", "three ")]

    read_all(reader, [*words, event("four", finish_reason="length")])

    assert reader.finished().finish_reason == "length"


@pytest.mark.parametrize("broken", [b'a"', b"\\x", b'a","more":"b\\'])
def test_what_is_no_json_is_refused_behind_events_that_are(broken: bytes) -> None:
    reader = CompletionReader("It")

    with pytest.raises(ProviderAnswerInvalid):
        read_all(
            reader,
            [event("one"), event("one").replace(b'"one"', b'"%b"' % broken)],
        )


def test_a_model_that_changes_and_changes_back_is_seen() -> None:
    reader = CompletionReader("It")
    first, second = event("one"), event("two").replace(b"parrot", b"parrot-2")

    read_all(reader, [first, second, first])

    assert reader.finished().resolved_model == "parrot"
