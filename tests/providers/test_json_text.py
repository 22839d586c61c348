"""JSON as servers really send it, and text of pieces that are cut anywhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamakeep.providers.json_text import Joiner, has_more_values_than, read_json

UNITS = st.sampled_from(["a", "\u00e9", "\ud83d", "\ude00", "\U0001f600", "\0"])


@given(st.lists(st.text(UNITS, max_size=4)))
def test_pieces_are_joined_as_if_they_were_one(pieces: list[str]) -> None:
    joiner, at_once = Joiner(), Joiner()

    joined = "".join(joiner.join(piece) for piece in pieces) + joiner.end()
    whole = "".join(pieces)

    assert joined == at_once.join(whole) + at_once.end()
    assert "\0" not in joined
    joined.encode()


@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.integers(0, 99)))
def test_whole_pairs_survive_any_cut(text: str, places: list[int]) -> None:
    units = json.dumps(text)[1:-1].encode()
    halves = json.loads(b'"' + units + b'"').encode("utf-16-le", "surrogatepass")
    cuts = sorted({min(2 * place, len(halves)) for place in places})
    joiner = Joiner()

    said = "".join(
        joiner.join(halves[start:end].decode("utf-16-le", "surrogatepass"))
        for start, end in zip([0, *cuts], [*cuts, len(halves)], strict=True)
    )

    assert said + joiner.end() == text.replace("\0", "\ufffd")


@given(st.binary(max_size=12))
def test_any_bytes_in_a_string_are_read_or_refused(content: bytes) -> None:
    try:
        found = read_json(b'["' + content + b'"]')
    except ValueError:
        return
    assert isinstance(found, list)


def test_deep_nesting_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested"):
        read_json(b"[" * 100_000 + b'"\xff"')


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"[]", 1),
        (b"[[],[],{}]", 6),
        (b'{"a": "[[[,,,{{{"}', 1),
        (b'{"a": "\\"[[[", "b": "\\\\"}', 2),
    ],
)
def test_values_are_counted_outside_of_strings(data: bytes, values: int) -> None:
    assert has_more_values_than(values - 1, data)
    assert not has_more_values_than(values, data)
