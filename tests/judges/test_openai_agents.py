"""OpenAI's Agents SDK calls tools, hands over and fills in forms."""

import pytest

from tests.judges.judge import Judge, check_cut
from tests.judges.model import ANSWER, BOTH, RECALLED
from tests.sdk.clients import history

PROGRAM = "openai_agents"
ADA = "Person(name='Ada', age=36)"
COMPACTED = f"message compaction: {RECALLED}"
SAID = {
    "tools": ANSWER,
    "streamed": ANSWER,
    "handoff": f"Weather: {ANSWER}",
    "form": ADA,
    "second_turn": BOTH,
    "chained": BOTH,
    "session": BOTH,
    "conversation": f"{BOTH} 10 items",
    "compacted": COMPACTED,
    "compacted_input": COMPACTED,
    "chat_tools": ANSWER,
    "chat_streamed": ANSWER,
    "chat_handoff": f"Weather: {ANSWER}",
    "chat_form": ADA,
    "chat_second_turn": BOTH,
}


@pytest.mark.parametrize("scenario", SAID)
def test_agents_of_openais_sdk_work(judge: Judge, scenario: str) -> None:
    assert judge.says(scenario) == SAID[scenario]


def test_an_image_in_a_conversation_reaches_the_model_with_each_turn(
    judge: Judge,
) -> None:
    assert judge.says("conversation_image") == "I see 1. Hello."

    for asked in judge.site.upstream.asked[-2:]:
        [text, image] = asked["messages"][0]["content"]
        assert text["text"] == "What is this?"
        assert image["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    "scenario", ["tools", "chained", "conversation", "compacted", "chat_streamed"]
)
def test_an_agent_continues_after_the_server_was_killed_between_call_and_result(
    judge: Judge, scenario: str
) -> None:
    said = judge.says_though_killed(scenario)

    assert said == SAID[scenario]
    runs = history(judge.site, 10)
    assert {run["status"] for run in runs} == {"succeeded"}
    assert any(run["response"] == ANSWER for run in runs)


@pytest.mark.parametrize("scenario", ["streamed", "conversation", "chat_streamed"])
def test_an_agent_can_ask_again_after_the_server_was_killed_in_arguments(
    judge: Judge, scenario: str
) -> None:
    said, cut = judge.says_again_though_cut(scenario)

    assert said == SAID[scenario]
    check_cut(cut)


def test_a_session_is_compacted_though_the_server_was_killed_in_the_summary(
    judge: Judge,
) -> None:
    said, cut = judge.says_though_cut("compaction")

    assert said == "Is Oslo colder than Bergen? llamakeep:They say: it is -3."
    [again] = history(judge.site)
    assert (again["status"], again["prompt"]) == ("succeeded", cut["prompt"])
    assert cut["response"] == "They"
