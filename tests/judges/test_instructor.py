"""Instructor fills in forms, in each mode that makes sense here."""

import pytest

from tests.judges.judge import Judge

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
    "at_once": [ADA] * 5,
}


@pytest.mark.parametrize("scenario", SAID)
def test_instructor_fills_in_its_forms(judge: Judge, scenario: str) -> None:
    assert judge.says(scenario) == SAID[scenario]
