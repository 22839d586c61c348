"""
What a client may ask for, and what is refused.

A parameter is ignored only where ignoring it changes nothing that was asked for;
everything else that this server cannot do is refused by name.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from llamakeep.api.http.bodies import Body, Form
from llamakeep.api.http.fields import (
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
from llamakeep.api.http.problems import FIELD_UNKNOWN
from llamakeep.domain import Parameters
from llamakeep.errors import FieldError, InvalidRequest, UnsupportedParameter

IGNORED = frozenset(
    {
        "parallel_tool_calls",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "user",
    }
)
"""They say who asks, what may be kept or cached, and how tools are called."""

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
"""The values that ask for nothing special; `null` is always one."""


TOOLS = ("tools", "functions", "tool_choice", "function_call")
"""What asks for tools; without the first two, the others mean nothing."""

OBFUSCATION = "stream_options.include_obfuscation"


class StreamOptions(Body):
    """How an answer is streamed."""

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
    """What chat completions and the older completions have in common."""

    model_config = ConfigDict(extra="allow")

    model: ModelName | None = None
    """One of `/v1/models`, or a model's bare id; without it, the server's default."""
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
    """Text, or up to 16 texts, before which the answer ends."""
    seed: Seed | None = None
    stream: bool | None = None
    """Send the answer as server-sent events, while it is being written."""
    stream_options: StreamOptions | None = None

    @property
    def includes_usage(self) -> bool:
        """Whether a stream shall end with what the answer took."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def parameters(
        self,
        *,
        max_tokens: int | None = None,
        response_format: Mapping[str, Any] | None = None,
    ) -> Parameters:
        """
        Return how the model is asked to answer.

        Raises:
            InvalidRequest: There is a parameter that does not exist.
            UnsupportedParameter: There is one that nobody here can honour.
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
        )


def refuse_unsupported(
    others: Mapping[str, Any],
    *,
    ignored: frozenset[str] = IGNORED,
    only: Mapping[str, Sequence[Any]] = ONLY,
) -> None:
    """
    Refuse what was asked for and cannot be done.

    Args:
        others: The parameters that the request's model does not declare.
        ignored: Those that may have any value.
        only: Those that may have some values, which ask for nothing special.

    Raises:
        InvalidRequest: There is no such parameter.
        UnsupportedParameter: There is, but nobody here can honour it.
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
            f"The models here call no tools; nothing was stored: leave {names} out.",
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
    """Return what may be sent instead, if anything may."""
    known = " or ".join(json.dumps(value) for value in values)
    return f", or send {known}" if known else ""
