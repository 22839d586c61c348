"""What the server is to say in a prompt, where a model has no parameter for it."""

from collections.abc import Sequence
from dataclasses import replace

from llamakeep.domain import NewRun, Parameters, Run, ToolCall, ToolResult
from llamakeep.engine.context import parts_of
from llamakeep.errors import UnsupportedParameter
from llamakeep.providers.base import Provider
from llamakeep.providers.capabilities import (
    capabilities_of,
    prompts_format,
    prompts_tools,
)

MESSAGES = "messages"
"""Names the messages that a request brings along, where one of them is refused."""
PREFILL = "prefill"
"""Names the last message, where it is the beginning of an answer and is refused."""


async def prompted(
    provider: Provider, model: str, new: NewRun, prior: Sequence[Run]
) -> Parameters:
    """
    Return the parameters of a run, and what the server is to say in the prompt.

    Raises:
        UnsupportedParameter: The model cannot read calls that were made before, or
            continue the beginning of an answer.
    """
    parameters = new.parameters
    if new.last_message is not None and new.last_message.role == "assistant":
        await _check_prefill(provider, model)
    if prompts_tools(provider, model):
        if parameters.tools:
            parameters = replace(parameters, prompted_tools=True)
    else:
        await _check_said(provider, model, new, prior)
    if parameters.response_format and prompts_format(provider, model):
        parameters = replace(parameters, prompted_format=True)
    return parameters


async def _check_prefill(provider: Provider, model: str) -> None:
    """
    Refuse a beginning of an answer, unless the model is known to continue it.

    Others do not refuse it: they write another answer, or nothing.

    Raises:
        UnsupportedParameter: Nothing was stored.
    """
    if (await capabilities_of(provider, model)).prefill:
        return
    raise UnsupportedParameter(
        f"The last message is the assistant's, and {provider.name}:{model} is not "
        "known to continue it. Nothing was stored. Add a message of the role `user` "
        "that says how the answer has to begin, or choose another model.",
        parameters=[PREFILL],
        needed=[PREFILL],
    )


async def _check_said(
    provider: Provider, model: str, new: NewRun, prior: Sequence[Run]
) -> None:
    """
    Refuse calls of tools in what was said, which the model cannot read.

    Raises:
        UnsupportedParameter: It names the call; nothing was stored.
    """
    said = [*parts_of(new)]
    own = len(said)
    for run in prior:
        said += [*parts_of(run), *run.output]
    for place, part in enumerate(said):
        if not isinstance(part, ToolCall | ToolResult):
            continue
        if (await capabilities_of(provider, model)).tools is not False:
            return
        raise UnsupportedParameter(
            f"The model {provider.name}:{model} cannot call tools, and what was "
            "said before has the call of one: "
            f"{part.call_id[:64]!a}. Nothing was stored. Leave it out with its "
            "result, or choose another model.",
            parameters=[MESSAGES] if place < own else (),
            needed=["tools"],
        )
