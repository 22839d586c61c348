"""
Parameters of completions: supported, ignored and refused ones.

A parameter is ignored only if that does not change the response; all others that this
server does not support are refused by name.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from llamakeep.api.http.problems import FIELD_UNKNOWN
from llamakeep.api.openai.tools import NO_TOOLS, Tools
from llamakeep.domain import NewRun, Parameters
from llamakeep.errors import FieldError, InvalidRequest, UnsupportedParameter
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.fields import (
    Asker,
    MaxTokens,
    MinTokens,
    ModelName,
    OpenAITemperature,
    Penalty,
    Seed,
    StopText,
    TopK,
    TopP,
)
from llamakeep.schemas.text import Text

IGNORED_EVERYWHERE = frozenset(
    {
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "store",
    }
)
"""Parameters about storage, caching and tool calls."""

IGNORED = IGNORED_EVERYWHERE | {"prediction"}

ONLY: Mapping[str, Sequence[Any]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "n": (1,),
    "reasoning_effort": ("none",),
    "service_tier": ("auto", "default"),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Unsupported parameters, with the values that change nothing; `null` is always one."""

TOOLS = ("tools", "functions", "tool_choice", "function_call")
"""Parameters of tool calls, which one error names together."""

Effort = Annotated[Text, Field(min_length=1, max_length=64)]
"""How much a model is to think, or to say."""

OBFUSCATION = "stream_options.include_obfuscation"


class StreamOptions(Body):
    """How a response is streamed."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return value
    raise ValueError("It has to be text, or a list of texts.")


class CompletionRequest(Form):
    """The parameters that chat completions and legacy completions share."""

    model_config = ConfigDict(extra="allow")

    model: ModelName | None = None
    """One of `/v1/models`, or a model's bare id; by default, the server's default."""
    max_tokens: MaxTokens | None = None
    min_tokens: MinTokens | None = None
    """Not OpenAI's, but common among servers of open models."""
    temperature: OpenAITemperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    """Not OpenAI's, but common among servers of open models."""
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: (
        Annotated[
            list[StopText],
            Field(max_length=16),
            BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
        ]
        | None
    ) = None
    """A stop sequence, or up to 16: the response ends before it."""
    seed: Seed | None = None
    safety_identifier: Asker = None
    """Your own user for whom this is, kept with the run."""
    user: Asker = None
    """The older name of `safety_identifier`, which counts if both are there."""
    stream: bool | None = None
    """Stream the response as server-sent events."""
    stream_options: StreamOptions | None = None

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @abstractmethod
    def asked(self) -> NewRun:
        """
        Return the prompt and its parameters for the engine.

        Raises:
            InvalidRequest: A parameter or message is invalid.
            UnsupportedParameter: This server does not support a parameter's value.
        """

    def parameters(
        self,
        *,
        max_tokens: int | None = None,
        response_format: Mapping[str, Any] | None = None,
        tools: Tools = NO_TOOLS,
        reasoning_effort: str | None = None,
        verbosity: str | None = None,
    ) -> Parameters:
        """
        Return the parameters for the engine.

        Raises:
            InvalidRequest: There is an unknown parameter.
            UnsupportedParameter: This server does not support a parameter's value.
        """
        if self.model_extra:
            refuse_unsupported(self.model_extra)
        if self.stream_options is not None:
            refuse_unsupported(
                {OBFUSCATION: self.stream_options.include_obfuscation},
                only={OBFUSCATION: (False,)},
            )
        return Parameters(
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            min_tokens=self.min_tokens or None,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            stop=tuple(self.stop or ()),
            seed=self.seed,
            response_format=response_format,
            tools=tools.tools,
            tool_choice=tools.choice,
            parallel_tool_calls=tools.are_parallel,
            reasoning_effort=reasoning_effort,
            verbosity=verbosity,
        )


def refuse_unsupported(
    others: Mapping[str, Any],
    *,
    ignored: frozenset[str] = IGNORED,
    only: Mapping[str, Sequence[Any]] = ONLY,
) -> None:
    """
    Refuse parameters that this server does not support.

    Those in `ignored` may have any value, those in `only` the given ones, which change
    nothing.

    Raises:
        InvalidRequest: A parameter is unknown.
        UnsupportedParameter: This server does not support a parameter's value.
    """
    given = [
        name
        for name, value in others.items()
        if value is not None and name not in ignored
    ]
    if unknown := [name for name in given if name not in only]:
        raise InvalidRequest(
            errors=[FieldError(name[:64], FIELD_UNKNOWN) for name in unknown[:16]]
        )
    refused = [name for name in given if others[name] not in only[name]]
    if tools := [name for name in TOOLS if name in refused]:
        names = " and ".join(repr(name) for name in tools)
        raise UnsupportedParameter(
            f"No tools can be called here; nothing was stored: leave {names} out, or "
            "send them to /v1/chat/completions.",
            parameters=tools,
        )
    if refused:
        name = refused[0]
        raise UnsupportedParameter(
            f"This server cannot honour {name!r}. Nothing was stored. Leave it out"
            f"{_alternatives(only[name])}.",
            parameters=refused,
        )


def _alternatives(values: Sequence[Any]) -> str:
    known = " or ".join(json.dumps(value) for value in values)
    return f", or send {known}" if known else ""
