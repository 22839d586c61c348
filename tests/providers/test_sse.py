from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.providers.sse import (
    MAX_EVENT_SIZE,
    EventParser,
    EventTooLarge,
    ServerSentEvent,
)

STREAM = (
    "\ufeffdata: first\n\n"
    ": a comment\n"
    "event: output\r\nid: 7\r\ndata: two\r\ndata:  lines\r\n\r\n"
    "retry: 10\n\n"
    "data: Grüße \u2028 \U0001f999\r\rdata\n\n"
    "event: done\ndata: {}\n\n"
    "data: cut off"
).encode()
EVENTS = [
    ServerSentEvent("message", b"first", ""),
    ServerSentEvent("output", b"two\n lines", "7"),
    ServerSentEvent("message", "Grüße \u2028 \U0001f999".encode(), "7"),
    ServerSentEvent("message", b"", "7"),
    ServerSentEvent("done", b"{}", "7"),
]

TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")


def test_events_are_read_as_the_standard_says() -> None:
    assert EventParser().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_a_stream_means_the_same_however_it_is_cut(cuts: list[int]) -> None:
    parser = EventParser()
    pieces = [
        STREAM[start:end]
        for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)
    ]

    events = [event for piece in pieces for event in parser.feed(piece)]

    assert events == EVENTS


def test_a_stream_that_comes_byte_by_byte_means_the_same() -> None:
    parser = EventParser()

    events = [e for i in range(len(STREAM)) for e in parser.feed(STREAM[i : i + 1])]

    assert events == EVENTS


@given(st.lists(st.text(TEXT), min_size=1))
def test_any_text_survives(lines: list[str]) -> None:
    data = "".join(f"data: {line}\n" for line in lines).encode() + b"\n"

    (event,) = EventParser().feed(data)

    assert event.data.decode() == "\n".join(lines)


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 65536, b"data: x\n" * 8192])
def test_an_endless_event_is_given_up(piece: bytes) -> None:
    parser = EventParser()

    with pytest.raises(EventTooLarge):
        _feed(parser, [piece] * (2 + 10 * MAX_EVENT_SIZE // len(piece)))


def _feed(parser: EventParser, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        parser.feed(piece)
