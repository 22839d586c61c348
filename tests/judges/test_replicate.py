"""Answers of models on Replicate, whose predictions outlive the server."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai.types.chat import ParsedFunctionToolCall

from tests.acceptance.processes import Runner
from tests.emulator.driver import MAVERICK
from tests.sdk.clients import anthropic_of, history, openai_of
from tests.sdk.conftest import open_site
from tests.sdk.site import Site
from tests.waiting import LONG_ENOUGH

MODEL = f"replicate:{MAVERICK}"
SCHEMA: Any = {"type": "object", "properties": {"name": {"type": "string"}}}
ASKED: Any = [{"role": "user", "content": "Who is it?"}]
CALL = ['{"name": "look_up", ', '"parameters": ', '{"name": ', '"Ada"}}']
ARGUMENTS = '{"name": "Ada"}'


@pytest.fixture(scope="module")
def replicate_site(
    python: Callable[[str], str],  # noqa: ARG001 - skips without the judges
    runner: Runner,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    with open_site(runner, tmp_path_factory.mktemp("replicate")) as site:
        yield site


def chat(site: Site, key: str) -> str:
    """Stream a call, and ask again where the stream breaks."""
    function: Any = {"name": "look_up", "parameters": SCHEMA}
    with openai_of(site) as client:
        while True:
            try:
                with client.chat.completions.stream(
                    model=MODEL,
                    messages=ASKED,
                    tools=[{"type": "function", "function": function}],
                    extra_headers={"Idempotency-Key": key},
                ) as stream:
                    message = stream.get_final_completion().choices[0].message
            except openai.APIConnectionError:
                continue
            [call] = message.tool_calls or []
            assert isinstance(call, ParsedFunctionToolCall)
            return call.function.arguments


def message(site: Site, key: str) -> str:
    with anthropic_of(site) as client:
        answer = client.with_options(max_retries=3).messages.create(
            model=MODEL,
            max_tokens=100,
            messages=ASKED,
            tools=[{"name": "look_up", "input_schema": SCHEMA}],
            extra_headers={"Idempotency-Key": key},
        )
    [call] = answer.content
    assert call.type == "tool_use"
    return json.dumps(call.input)


def two(site: Site, key: str) -> str:
    """Ask for two choices, and return what they say in lines."""
    with openai_of(site) as client:
        completion = client.with_options(max_retries=3).chat.completions.create(
            model=MODEL, messages=ASKED, n=2, extra_headers={"Idempotency-Key": key}
        )
    return "\n".join([one.message.content or "" for one in completion.choices])


@pytest.mark.parametrize("ask", [chat, message])
def test_a_call_continues_after_a_kill_in_its_arguments_and_is_asked_for_once(
    replicate_site: Site, ask: Callable[[Site, str], str]
) -> None:
    assert said_though_killed(replicate_site, ask) == ARGUMENTS
    assert len(predictions(replicate_site)) == 1
    [run, *_] = history(replicate_site, 5)
    assert run["output"][0]["text"] == ARGUMENTS


def test_choices_continue_after_a_kill_and_each_is_asked_for_once(
    replicate_site: Site,
) -> None:
    whole = "".join(CALL)

    assert said_though_killed(replicate_site, two) == f"{whole}\n{whole}"
    assert len(predictions(replicate_site)) == 2


def said_though_killed(site: Site, ask: Callable[[Site, str], str]) -> str:
    """Return what a client was told whose server was killed in the middle."""
    site.replicate.reset()
    for _ in range(2):
        site.replicate.rule(deltas=CALL, gap=0.3)
    with ThreadPoolExecutor() as other:
        answer = other.submit(ask, site, ask.__name__)
        end = time.monotonic() + LONG_ENOUGH
        while not any(one["output"] for one in predictions(site)):
            assert time.monotonic() < end
            time.sleep(0.05)
        site.restart()
        return answer.result()


def predictions(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.replicate.known()["predictions"]
    return found
