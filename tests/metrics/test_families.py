"""Series, and their text for Prometheus."""

import json

import pytest

from llamakeep.metrics.families import (
    Family,
    Series,
    merged,
    monotone,
    snapshot_of,
    text_of,
)

TIMES = Family("times_seconds", "Times.", "histogram", ("route",), (0.1, 1))
CALLS = Family("calls_total", "Calls.")
OPEN = Family("open", "What is open.", "gauge", ("name",))


def test_a_value_is_in_each_bucket_whose_bound_it_does_not_exceed() -> None:
    times = Series(TIMES)

    for seconds in (0.05, 0.1, 0.5, 1.5):
        times.observe(("/prompt/",), seconds)

    assert text_of([TIMES], snapshot_of([times])).splitlines() == [
        "# HELP times_seconds Times.",
        "# TYPE times_seconds histogram",
        'times_seconds_bucket{route="/prompt/",le="0.1"} 2',
        'times_seconds_bucket{route="/prompt/",le="1"} 3',
        'times_seconds_bucket{route="/prompt/",le="+Inf"} 4',
        'times_seconds_sum{route="/prompt/"} 2.15',
        'times_seconds_count{route="/prompt/"} 4',
    ]


def test_a_counter_without_labels_begins_at_zero() -> None:
    assert "calls_total 0\n" in text_of([CALLS], snapshot_of([Series(CALLS)]))


def test_labels_are_escaped() -> None:
    open_ = Series(OPEN)
    open_.add('a "quote", a \\ and\na line')

    [*_, line] = text_of([OPEN], snapshot_of([open_])).splitlines()

    assert line == r'open{name="a \"quote\", a \\ and\na line"} 1'


def test_processes_add_up_although_their_numbers_went_through_json() -> None:
    one, other = Series(TIMES), Series(TIMES)
    one.observe(("/a",), 0.5)
    other.observe(("/a",), 2)
    other.observe(("/b",), 0.05)
    sent = [json.loads(json.dumps(snapshot_of([each]))) for each in (one, other)]

    lines = text_of([TIMES], merged(sent)).splitlines()

    assert 'times_seconds_count{route="/a"} 2' in lines
    assert 'times_seconds_sum{route="/a"} 2.5' in lines
    assert 'times_seconds_count{route="/b"} 1' in lines


def test_a_process_that_ended_leaves_its_counters_and_no_gauge() -> None:
    calls, open_ = Series(CALLS), Series(OPEN)
    calls.add()
    open_.add("file")

    assert list(monotone(snapshot_of([calls, open_]))) == ["calls_total"]


def test_many_values_count_as_they_do_one_by_one() -> None:
    values = [1.5, 0.1, 0.05, 1, 0.5, 0.100001, 7]
    one_by_one, at_once = Series(TIMES), Series(TIMES)

    for value in values:
        one_by_one.observe(("/",), value)
    at_once.observe_all(("/",), values)

    assert at_once.rows == {("/",): pytest.approx(one_by_one.rows["/",])}


def test_a_time_below_zero_counts_as_zero() -> None:
    times = Series(TIMES)

    times.observe_all(("/",), [-3600, 0.5])

    assert times.rows == {("/",): [1, 1, 0, 0.5]}
