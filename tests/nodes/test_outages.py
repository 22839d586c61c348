"""Nodes that cannot be reached, and when they are tried again."""

import pytest

from llamakeep.http.errors import ConnectError
from llamakeep.nodes.outages import Outages

WHY = ConnectError("The connection was refused.")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def begin(outages: Outages) -> None:
    outages.begin("node_1", "https://10.0.0.5:8001", WHY)


def test_a_node_that_is_out_of_reach_is_tried_again_after_pauses_that_grow() -> None:
    clock = Clock()
    outages = Outages(clock)
    pauses = []
    for _ in range(8):
        begin(outages)
        since = clock.now
        while outages.is_resting("node_1"):
            clock.now += 0.5
        pauses.append(clock.now - since)
        outages.check("node_1", 0)

    assert pauses == [1, 1, 2, 4, 8, 16, 16, 16]
    assert not outages.is_resting("node_2")


def test_one_request_at_a_time_tries_a_node_again() -> None:
    clock = Clock()
    outages = Outages(clock)
    outages.check("node_1", 2)
    outages.check("node_1", 2)  # before anything is known
    begin(outages)
    clock.now += 1

    outages.check("node_1", 2)

    with pytest.raises(ConnectError, match="a moment ago"):
        outages.check("node_1", 2)
    outages.end("node_1")
    outages.check("node_1", 2)


def test_the_log_has_a_line_when_a_node_stays_out_of_reach_and_one_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    outages = Outages(clock)
    for _ in range(20):
        begin(outages)
        clock.now += 1
    begin(outages)
    outages.end("node_1")
    begin(outages)
    outages.end("node_1")

    began, ended = [each.getMessage() for each in caplog.records]
    assert began.startswith("node_1 cannot be reached at https://10.0.0.5:8001 (The ")
    assert ended == "node_1 is reached again"


def test_a_node_that_is_not_asked_for_any_more_does_not_count_for_long() -> None:
    clock = Clock()
    outages = Outages(clock)
    begin(outages)
    assert len(outages) == 1

    clock.now += 100

    assert len(outages) == 0
