import re
from itertools import islice
from typing import Any

import httpx2
import pytest

from tests.emulator.driver import Driver, events


def with_simple_ids(stream: str) -> str:
    return re.sub(r"id: \d{10}:", "id: T:", stream)


def test_a_stream_looks_as_replicates_do(emulator: Driver) -> None:
    emulator.rule(deltas=["Once upon", "\ntwo\nlines", ""])
    created = emulator.create()

    with emulator.open_stream(created) as answer:
        content_type = answer.headers["content-type"]
        stream = answer.read().decode()

    assert content_type.partition(";")[0] == "text/event-stream"
    assert with_simple_ids(stream) == (
        ": hi\n\n"
        "event: output\nid: T:0\ndata: Once upon\n\n"
        "event: output\nid: T:1\ndata: \ndata: two\ndata: lines\n\n"
        "event: output\nid: T:2\ndata: \n\n"
        "event: done\nid: T:3\ndata: {}\n\n"
    )


def test_a_stream_needs_no_credentials_but_its_address(emulator: Driver) -> None:
    created = emulator.create("Hello")

    answer = httpx2.get(created["urls"]["stream"])

    assert events(answer.text) == [("output", "Hello"), ("done", "{}")]


def test_separators_that_only_python_splits_at_stay_in_the_text(
    emulator: Driver,
) -> None:
    emulator.rule(deltas=["a\u2028b\u0085c", "\rd"])
    created = emulator.create()

    stream = emulator.stream(created)

    assert events(stream)[:2] == [("output", "a\u2028b\u0085c"), ("output", "\nd")]


def test_a_stream_goes_on_after_the_last_event_that_was_seen(emulator: Driver) -> None:
    created = emulator.create("one two three")
    last_seen = re.findall(r"id: (\S+)", emulator.stream(created))[1]

    rest = emulator.stream(created, last_event_id=last_seen)

    assert events(rest) == [("output", " three"), ("done", "{}")]


@pytest.mark.parametrize("unknown", ["1:1", "nonsense", "1690000000:99"])
def test_a_stream_begins_anew_after_an_unknown_event(
    emulator: Driver, unknown: str
) -> None:
    created = emulator.create("one two")

    stream = emulator.stream(created, last_event_id=unknown)

    assert [data for _, data in events(stream)] == ["one", " two", "{}"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            {"end": "failed", "error": "E1234 Oops", "after": 1},
            [
                ("output", "one"),
                ("error", '{"detail": "E1234 Oops"}'),
                ("done", '{"reason": "error"}'),
            ],
        ),
        (
            {"end": "canceled", "after": 1},
            [("output", "one"), ("done", '{"reason": "canceled"}')],
        ),
        ({"end": "aborted"}, [("done", '{"reason": "canceled"}')]),
        ({"end": "failed", "error": "E6716", "after": 0}, []),
    ],
)
def test_a_stream_tells_how_its_prediction_ended(
    emulator: Driver, rule: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    emulator.rule(**rule)
    created = emulator.create()

    stream = emulator.stream(created)

    told = events(stream)
    assert told[: len(expected)] == expected
    assert told[-1][0] == "done"


def test_a_silent_stream_gets_comments(emulator: Driver) -> None:
    emulator.set(first_delay=0.25, heartbeat=0.1)
    created = emulator.create("Hello")

    stream = emulator.stream(created)

    assert stream.count(": still here\n\n") == 2
    assert events(stream)[0] == ("output", "Hello")


def test_a_stream_can_stay_open_after_done(emulator: Driver) -> None:
    emulator.set(linger=0.1)
    created = emulator.create("Hello")

    stream = emulator.stream(created)

    assert stream.endswith("data: {}\n\n:408: 408 Request Timeout\n\n")


def test_a_stream_cannot_be_replayed_for_ever(emulator: Driver) -> None:
    emulator.set(stream_lifetime=0)
    body = emulator.finished()

    stream = emulator.stream(body)

    assert stream == ": hi\n\n:408: 408 Request Timeout\n\n"


def test_a_prediction_erased_under_a_stream_ends_it(emulator: Driver) -> None:
    emulator.set(gap=60)
    created = emulator.create("one two")

    with emulator.open_stream(created) as answer:
        lines = answer.iter_lines()
        while next(lines) != "data: one":
            pass
        emulator.http.post(f"/_emulator/predictions/{created['id']}/erase")
        rest = list(lines)

    assert 'data: {"reason": "canceled"}' in rest


def test_many_can_listen_to_one_prediction(emulator: Driver) -> None:
    emulator.set(first_delay=0.1)
    created = emulator.create("one two")

    with emulator.open_stream(created) as one, emulator.open_stream(created) as other:
        heard = [events(each.read().decode()) for each in (one, other)]

    assert heard[0] == heard[1]
    assert len(heard[0]) == 3


def test_a_listener_who_hangs_up_leaves_nothing_behind(emulator: Driver) -> None:
    emulator.set(first_delay=0.2)
    created = emulator.create("one two")

    with emulator.open_stream(created):
        pass

    assert [name for name, _ in events(emulator.stream(created))][-1] == "done"
    assert emulator.observed(created)["requests"]["stream"] == 2


@pytest.mark.parametrize("said", [1, 2, 30])
def test_deltas_are_heard_before_the_next_one_is_said(
    emulator: Driver, said: int
) -> None:
    emulator.rule(after=said, end="never")
    created = emulator.create("word " * 31)

    with emulator.open_stream(created) as answer:
        outputs = (line for line in answer.iter_lines() if line == "event: output")
        heard = [*islice(outputs, said)]  # nothing more is ever said

    assert len(heard) == said
