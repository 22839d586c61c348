"""Instructor fills in forms, in each mode that makes sense here."""

import pytest

from tests.judges.judge import Judge, check_cut

PROGRAM = "instructor_forms"
ADA = "Person(name='Ada', age=36)"
SAID = {
    "form": ADA,
    "provider": ADA,
    "strict": ADA,
    "json": ADA,
    "schema": ADA,
    "responses": ADA,
    "partial": ADA,
    "iterable": [ADA],
    "asked_again": "Ada 36, asked 2 times",
    "at_once": [ADA] * 5,
}


@pytest.mark.parametrize("scenario", SAID)
def test_instructor_fills_in_its_forms(judge: Judge, scenario: str) -> None:
    assert judge.says(scenario) == SAID[scenario]


def test_a_form_is_asked_for_again_though_the_server_was_killed_before(
    judge: Judge,
) -> None:
    assert judge.says_though_killed("asked_again") == SAID["asked_again"]


@pytest.mark.parametrize("scenario", ["partial", "responses"])
def test_a_form_can_be_asked_for_again_after_the_server_was_killed_in_arguments(
    judge: Judge, scenario: str
) -> None:
    said, cut = judge.says_again_though_cut(scenario)

    assert said == SAID[scenario]
    check_cut(cut)
