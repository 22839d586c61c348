"""LangChain's agents, structured output by each method, and LangGraph's loop."""

import pytest

from tests.judges.judge import Judge, check_cut
from tests.judges.model import ANSWER, BOTH
from tests.sdk.clients import history

PROGRAM = "langchain_agents"
ADA = "Person(name='Ada', age=36)"
SAID = {
    "agent": BOTH,
    "agent_on_responses": BOTH,
    "agent_streamed": ANSWER,
    "agent_with_form": ADA,
    "forms": " ".join([ADA] * 3),
    "forms_on_responses": " ".join([ADA] * 3),
    "graph": ANSWER,
}


@pytest.mark.parametrize("scenario", SAID)
def test_langchain_and_langgraph_work(judge: Judge, scenario: str) -> None:
    assert judge.says(scenario) == SAID[scenario]


@pytest.mark.parametrize("scenario", ["agent", "agent_on_responses", "graph"])
def test_an_agent_continues_after_the_server_was_killed_between_call_and_result(
    judge: Judge, scenario: str
) -> None:
    said = judge.says_though_killed(scenario)

    assert said == SAID[scenario]
    runs = history(judge.site, 3)
    assert {run["status"] for run in runs} == {"succeeded"}
    assert any(run["response"] == ANSWER for run in runs)


@pytest.mark.parametrize("scenario", ["agent_streamed", "agent_on_responses", "graph"])
def test_an_agent_can_ask_again_after_the_server_was_killed_in_arguments(
    judge: Judge, scenario: str
) -> None:
    said, cut = judge.says_again_though_cut(scenario)

    assert said == SAID[scenario]
    check_cut(cut)
