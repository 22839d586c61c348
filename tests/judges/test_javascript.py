"""Agents in JavaScript: OpenAI's and Vercel's, and OpenAI's own library."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.judges.judge import Judge, check_cut, judging
from tests.judges.model import ANSWER, BOTH, RECALLED
from tests.sdk.site import ToolSite

WITH_EACH_API = {
    "tools": ANSWER,
    "streamed": ANSWER,
    "handoff": f"Weather {ANSWER}",
    "form": "Ada 36",
    "second_turn": BOTH,
}
SAID = {
    "agents": WITH_EACH_API
    | {f"chat_{name}": said for name, said in WITH_EACH_API.items()}
    | {
        "chained": BOTH,
        "conversation": f"{BOTH} 10 items, It is 7. 3 left",
        "conversation_image": "I see 1. Hello.",
        "compacted": f"message compaction: {RECALLED}",
    },
    "vercel_ai": {
        "tools": BOTH,
        "streamed": ANSWER,
        "image": "I see 1.",
        "object": "Ada 36",
        "object_streamed": "Ada 36",
        "output": "Ada 36",
    },
    "openai_node": {"tools": ANSWER, "streamed": ANSWER},
}
ALL = [(program, scenario) for program in SAID for scenario in SAID[program]]
KILLED = [
    ("agents", "tools"),
    ("agents", "chained"),
    ("agents", "conversation"),
    ("agents", "compacted"),
    ("agents", "chat_streamed"),
    ("vercel_ai", "tools"),
    ("vercel_ai", "streamed"),
    ("openai_node", "tools"),
    ("openai_node", "streamed"),
]
CUT = [
    ("agents", "streamed"),
    ("agents", "conversation"),
    ("agents", "chat_streamed"),
    ("vercel_ai", "streamed"),
    ("openai_node", "streamed"),
]


@pytest.fixture(scope="module")
def judge_of(
    python: Callable[[str], str],
    judged_site: ToolSite,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Judge]]:
    """Return the process of a program, which runs as long as its tests."""
    with ExitStack() as stack:

        @cache
        def judge_of(program: str) -> Judge:
            folder = tmp_path_factory.mktemp("judge")
            running = judging(program, python, judged_site, folder)
            return stack.enter_context(running)

        yield judge_of


@pytest.mark.parametrize(("program", "scenario"), ALL)
def test_agents_in_javascript_work(
    judge_of: Callable[[str], Judge], program: str, scenario: str
) -> None:
    assert judge_of(program).says(scenario) == SAID[program][scenario]


@pytest.mark.parametrize(("program", "scenario"), KILLED)
def test_an_agent_continues_after_the_server_was_killed_between_call_and_result(
    judge_of: Callable[[str], Judge], program: str, scenario: str
) -> None:
    said = judge_of(program).says_though_killed(scenario)

    assert said == SAID[program][scenario]


@pytest.mark.parametrize(("program", "scenario"), CUT)
def test_an_agent_can_ask_again_after_the_server_was_killed_in_arguments(
    judge_of: Callable[[str], Judge], program: str, scenario: str
) -> None:
    said, cut = judge_of(program).says_again_though_cut(scenario)

    assert said == SAID[program][scenario]
    check_cut(cut)
