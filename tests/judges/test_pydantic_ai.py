"""Pydantic AI's agents, whose forms are tools by default."""

import pytest

from tests.judges.judge import Judge, check_cut
from tests.judges.model import ANSWER, BOTH

PROGRAM = "pydantic_ai_agents"
ADA = "Person(name='Ada', age=36)"
SAID = {
    "agent": BOTH,
    "agent_on_responses": BOTH,
    "agent_on_messages": BOTH,
    "agent_streamed": ANSWER,
    "agent_streamed_on_responses": ANSWER,
    "agent_streamed_on_messages": ANSWER,
    "agent_with_form": ADA,
    "agent_with_form_on_responses": ADA,
    "agent_with_form_on_messages": ADA,
    "form_streamed": ADA,
    "forms": [ADA] * 2,
}


@pytest.mark.parametrize("scenario", SAID)
def test_agents_of_pydantic_ai_work(judge: Judge, scenario: str) -> None:
    assert judge.says(scenario) == SAID[scenario]


@pytest.mark.parametrize(
    "scenario", ["agent", "agent_on_messages", "agent_streamed_on_responses"]
)
def test_an_agent_continues_after_the_server_was_killed_between_call_and_result(
    judge: Judge, scenario: str
) -> None:
    assert judge.says_though_killed(scenario) == SAID[scenario]


@pytest.mark.parametrize("scenario", ["agent_streamed", "agent_streamed_on_messages"])
def test_an_agent_can_ask_again_after_the_server_was_killed_in_arguments(
    judge: Judge, scenario: str
) -> None:
    said, cut = judge.says_again_though_cut(scenario)

    assert said == SAID[scenario]
    check_cut(cut)
