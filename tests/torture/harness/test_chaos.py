"""The judge of many upstreams has to find planted lies."""

from typing import Any

import pytest

from tests.torture.checker import Told, Verdict
from tests.torture.upstreams.chaos import judge_chaos

MIDNIGHT = 1767225600
PASSED = [
    {"model": "dead:m", "reason": "provider-unavailable", "was_asked": True},
    {"model": "limited:m", "reason": "provider-rate-limited", "was_asked": True},
    {"model": "cut:m", "reason": "provider-unavailable", "was_asked": False},
]
RUN: dict[str, Any] = {
    "id": "run_1",
    "model": "slow:m",
    "response": "uno due",
    "status": "succeeded",
    "error": None,
    "route": {"passed": PASSED},
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": "2026-01-01T00:00:01Z",
    "finished_at": "2026-01-01T00:00:09Z",
}
ASKED: list[dict[str, Any]] = [
    {"upstream": "limited", "prompt": "one", "is_paid": False, "text": ""},
    {"upstream": "slow", "prompt": "one", "is_paid": True, "text": "uno due"},
]
CUT = {"upstream": "cut", "prompt": "one", "is_paid": True, "text": "un"}


def verdict(
    run: dict[str, Any] | None = None,
    asked: list[dict[str, Any]] | None = None,
    *,
    strikes: tuple[float, ...] = (),
    unfound: tuple[str, ...] = (),
) -> Verdict:
    told = Told(prompt="one", run_ids={"run_1"})
    found, _ = judge_chaos(
        [told],
        {"run_1": RUN | (run or {})},
        ASKED if asked is None else asked,
        strikes=strikes,
        unfound=unfound,
    )
    return found


def test_a_true_story_has_no_faults() -> None:
    assert verdict().faults == []


def test_what_is_paid_for_twice_is_found() -> None:
    found = verdict(asked=[ASKED[0], CUT, ASKED[1]])

    assert found.twice == ["'one' is paid for twice: ['limited', 'cut', 'slow']"]


@pytest.mark.parametrize(
    ("run", "asked"),
    [
        ({"response": "tre"}, ASKED),
        ({}, ASKED[1:]),
        ({}, [*ASKED[:1], {**ASKED[1], "upstream": "steady"}]),
        ({"route": {"passed": []}}, ASKED),
        ({"route": {"passed": [PASSED[2] | {"was_asked": True}]}}, [CUT, ASKED[1]]),
    ],
)
def test_a_run_that_tells_another_way_is_found(
    run: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    assert verdict(run, asked).wrong


FAILED = {"status": "failed", "error": "It broke."}
STOPPED = {"status": "interrupted", "error": "It stopped."}


def test_a_failure_where_another_may_be_asked_is_found() -> None:
    cut = [ASKED[0], CUT]

    assert verdict(FAILED).lost == ["run_1 has failed at slow:m: It broke."]
    assert verdict(FAILED | {"model": "cut:m"}, cut).faults == []


def test_an_interruption_that_nothing_explains_is_found() -> None:
    struck = (MIDNIGHT + 3.0,)

    assert verdict(STOPPED).lost
    assert verdict(STOPPED, unfound=("run_1",)).lost
    assert verdict(STOPPED, strikes=struck).lost
    queued = STOPPED | {"started_at": None}
    assert verdict(queued, strikes=struck, unfound=("run_1",)).lost
    assert verdict(STOPPED, strikes=struck, unfound=("run_1",)).lost == []
