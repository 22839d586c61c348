"""Calls of a model on Replicate, whose prediction outlives the server."""

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


@pytest.mark.parametrize("ask", [chat, message])
def test_a_call_continues_after_a_kill_in_its_arguments_and_is_asked_for_once(
    replicate_site: Site, ask: Callable[[Site, str], str]
) -> None:
    replicate_site.replicate.reset()
    replicate_site.replicate.rule(deltas=CALL, gap=0.3)

    with ThreadPoolExecutor() as other:
        answer = other.submit(ask, replicate_site, ask.__name__)
        end = time.monotonic() + LONG_ENOUGH
        while not any(one["output"] for one in predictions(replicate_site)):
            assert time.monotonic() < end
            time.sleep(0.05)
        replicate_site.restart()
        said = answer.result()

    assert said == ARGUMENTS
    assert len(predictions(replicate_site)) == 1
    [run, *_] = history(replicate_site, 5)
    assert run["output"][0]["text"] == ARGUMENTS


def predictions(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.replicate.known()["predictions"]
    return found
