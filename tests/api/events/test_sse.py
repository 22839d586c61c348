"""Server-sent events, as any client reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.api.http import sse
from llamakeep.providers.sse import EventParser


def test_an_event_has_its_type_its_id_and_its_data() -> None:
    assert sse.encode(b"{}") == b"data: {}\n\n"
    assert sse.encode(b"{}", "done") == b"event: done\ndata: {}\n\n"
    assert sse.encode(b"{}", "delta", "5@2") == b"event: delta\nid: 5@2\ndata: {}\n\n"
    assert sse.opening("done") + b"{}" + sse.END == sse.encode(b"{}", "done")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_line_of_data_gets_one_of_its_own(end: bytes) -> None:
    data = end.join([b"one", b"", b"two"])

    assert sse.encode(data) == b"data: one\ndata: \ndata: two\n\n"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_client_reads_what_was_sent(text: str) -> None:
    [event] = EventParser().feed(sse.encode(text.encode(), "delta", "7"))

    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert event == ("delta", lines.encode(), "7")
