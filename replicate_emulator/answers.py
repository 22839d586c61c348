"""Who answers a prediction: a script, an echo, or a provider that was handed in."""

import asyncio
import dataclasses
import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from llamakeep.domain import Message, Parameters
from llamakeep.domain.runs import TOOL_PARAMETERS
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import CompletionRequest, Finished, Provider
from replicate_emulator.predictions import Prediction
from replicate_emulator.rules import Rule
from replicate_emulator.settings import EmulatorSettings

_WORD = re.compile(r"\s*\S+|\s+")
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
Step = tuple[float, Callable[[], None]]
"""When something happens, in seconds after the creation, and what."""


def answer(
    prediction: Prediction,
    rule: Rule,
    settings: EmulatorSettings,
    *,
    max_prompt: int,
    provider: Provider | None,
    output: Collection[str] = (),
) -> None:
    """
    Start a task that answers `prediction`.

    Args:
        prediction: It.
        rule: What happens to it.
        settings: What happens where the rule does not say.
        max_prompt: The most tokens of a prompt.
        provider: What answers where there is no script.
        output: The fields of the output, if it is an object.
    """
    system_prompt = _system_prompt(prediction)
    prediction.input_tokens = _count(prediction.prompt) + _count(system_prompt)
    refusal = _refusal(prediction, max_prompt)
    if refusal is not None:
        rule = Rule(end="failed", error=refusal, deltas=(), after=None)
    has_script = rule.deltas is not None or rule.output is not None
    if provider is not None and not has_script and rule.end is None:
        delay = settings.start_delay if rule.start_delay is None else rule.start_delay
        task = asyncio.get_running_loop().create_task(_ask(provider, prediction, delay))
        prediction.stop_answering = partial(_cancel, task)
        return
    deltas = rule.deltas
    if rule.output is not None:
        deltas = (_said(rule.output),)
    if deltas is None:
        words = settings.words if rule.words is None else rule.words
        deltas = tuple(_grouped(_echo(prediction), words))
        if output:
            prediction.output = dict.fromkeys(output) | {"text": "".join(deltas)}
            deltas = (_said(prediction.output),)
    _Player(prediction, _plan(prediction, deltas, rule, settings)).play()


def _said(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output)


def _count(text: str) -> int:
    return len(_WORD.findall(text))


def _refusal(prediction: Prediction, max_prompt: int) -> str | None:
    """Return what a model says that will not even begin, if it will not."""
    if not prediction.prompt.strip():
        return (
            "E1001 PromptRequired: A prompt is required, but your formatted prompt is "
            "blank"
        )
    if prediction.input_tokens > max_prompt:
        return (
            f"E1002 PromptTooLong: Prompt length ({prediction.input_tokens}) exceeds "
            f"maximum input length ({max_prompt})"
        )
    return None


def _echo(prediction: Prediction) -> list[str]:
    """Return the words of the prompt, cut where the input says so."""
    text = prediction.prompt
    stops = prediction.input.get("stop_sequences")
    for stop in stops.split(",") if isinstance(stops, str) else ():
        if stop:
            text = text.partition(stop)[0]
    words = _WORD.findall(text)
    limits = map(prediction.input.get, _LIMITS)
    limit = next(filter(None, limits), None)
    return words[:limit] if isinstance(limit, int) and limit > 0 else words


def _system_prompt(prediction: Prediction) -> str:
    given = map(prediction.input.get, ("system_prompt", "instructions"))
    return str(next(filter(None, given), ""))


def _grouped(words: Sequence[str], size: int) -> Iterator[str]:
    for first in range(0, len(words), size):
        yield "".join(words[first : first + size])


def _begin(prediction: Prediction) -> None:
    # Twice, as the containers behind the official models do.
    prediction.logs = (
        f"Random seed used: `{secrets.randbelow(2**16)}`\n"
        "Note: Random seed will not impact output if greedy decoding is used.\n"
    ) + f"Formatted prompt: `{prediction.prompt}`\n" * 2
    prediction.start()


def _plan(
    prediction: Prediction,
    deltas: Sequence[str],
    rule: Rule,
    settings: EmulatorSettings,
) -> Iterator[Step]:
    """Yield what happens to `prediction`, in order of time."""
    due = settings.start_delay if rule.start_delay is None else rule.start_delay
    gap = settings.gap if rule.gap is None else rule.gap
    if rule.end == "aborted" or (rule.end is not None and rule.after == 0):
        if rule.end != "never":
            yield due, partial(prediction.finish, rule.end, rule.error)
        return
    yield due, partial(_begin, prediction)
    due += settings.first_delay if rule.first_delay is None else rule.first_delay
    said = deltas if rule.end is None else deltas[: rule.after]
    for number, delta in enumerate(said):
        yield due + number * gap, partial(prediction.say, delta)
    due += max(0, len(said) - 1) * gap
    if rule.end is None:
        yield due, partial(prediction.finish, "succeeded")
    elif rule.end == "failed":
        error = rule.error or "Prediction interrupted; please retry (code: PA)"
        yield due, partial(prediction.finish, "failed", error)
    elif rule.end == "canceled":
        yield due, partial(prediction.finish, "canceled")


class _Player:
    """
    Makes steps happen when they are due, without a task for each prediction.

    Being late with one step does not make the others later.
    """

    def __init__(self, prediction: Prediction, steps: Iterable[Step]) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._steps = iter(steps)
        self._next = next(self._steps, None)
        self._timer: asyncio.TimerHandle | None = None
        prediction.stop_answering = self.stop

    def play(self) -> None:
        """Take every step that is due, and come back for the next one."""
        while self._next is not None:
            due, step = self._next
            if self._began + due > self._loop.time():
                self._timer = self._loop.call_at(self._began + due, self.play)
                return
            self._next = next(self._steps, None)
            step()

    def stop(self) -> None:
        """Take no further step."""
        self._next = None
        if self._timer is not None:
            self._timer.cancel()


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _ask(provider: Provider, prediction: Prediction, delay: float) -> None:
    """Let `provider` answer, at its own pace."""
    await asyncio.sleep(delay)
    try:
        request = _request(prediction, await provider.default_model(), provider)
        _begin(prediction)
        async with aclosing(provider.answer(request)) as events:
            async for event in events:
                if isinstance(event, str):
                    prediction.say(event)
                elif isinstance(event, Finished):
                    prediction.output_tokens = event.usage.output_tokens
                    if event.usage.input_tokens is not None:
                        prediction.input_tokens = event.usage.input_tokens
    except LlamaKeepError as error:
        _end(prediction, error.detail)
    except Exception:
        _end(prediction, "Director: unexpected error handling prediction (E9828)")
        raise
    else:
        _end(prediction, None)


def _end(prediction: Prediction, error: str | None) -> None:
    prediction.stop_answering = None  # it would cancel the very task that calls this
    prediction.finish("succeeded" if error is None else "failed", error)


def _request(
    prediction: Prediction, model: str, provider: Provider
) -> CompletionRequest:
    given = prediction.input
    messages = [Message("user", prediction.prompt)]
    if system_prompt := _system_prompt(prediction):
        messages.insert(0, Message("system", system_prompt))
    known = {each.name for each in dataclasses.fields(Parameters)}
    # What these mean is written in another way.
    names = known - TOOL_PARAMETERS - {"stop", "response_format"}
    parameters = Parameters(
        stop=tuple(filter(None, str(given.get("stop_sequences", "")).split(","))),
        **{name: given[name] for name in names if given.get(name)},
    )
    refused: dict[str, Any] = dict.fromkeys(provider.unsupported - {"stop", "tools"})
    return CompletionRequest(
        run_id=prediction.id,
        attempt=1,
        model=model,
        messages=messages,
        parameters=dataclasses.replace(
            parameters,
            **refused,
            stop=() if "stop" in provider.unsupported else parameters.stop,
        ),
    )
