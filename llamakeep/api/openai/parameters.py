"""
Parameters of completions: supported, ignored and refused ones.

A parameter is ignored only if that does not change the response; all others that this
server does not support are refused by name.
"""

import json
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from llamakeep.api.openai import choices
from llamakeep.api.openai.errors import PARAMETER_UNKNOWN
from llamakeep.api.openai.tools import NO_TOOLS, Tools
from llamakeep.api.prompts.reading import checked_json, invalid
from llamakeep.domain import NewRun, Parameters
from llamakeep.errors import FieldError, InvalidRequest, UnsupportedParameter
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.fields import (
    Asker,
    Effort,
    Integer,
    MaxTokens,
    MinTokens,
    ModelName,
    Number,
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
    }
)
"""Parameters about caching and tool calls."""

IGNORED = IGNORED_EVERYWHERE | {"prediction"}

ONLY: Mapping[str, Sequence[Any]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "reasoning_effort": ("none",),
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

LogitBias = Annotated[
    dict[
        Annotated[str, Field(pattern="^[0-9]{1,9}$")],
        Annotated[Number, Field(ge=-100, le=100)],
    ],
    Field(max_length=1024),
]
"""What is added to the likelihood of tokens, by their numbers."""
MostLikely = Annotated[Integer, Field(ge=0, le=20)]
"""How many of the likeliest tokens."""
ServiceTier = Annotated[Text, Field(min_length=1, max_length=64)]
"""`auto` and `default` are the usual tier; others are the provider's, as `flex` is."""
Summary = Annotated[str, WithJsonSchema({"enum": ["auto", "detailed"]})]
Context = Annotated[str, WithJsonSchema({"enum": ["auto", "current_turn"]})]
Mode = Annotated[str, WithJsonSchema({"enum": ["standard"]})]

_USUAL_REASONING = {
    "summary": ("auto", "detailed"),
    "generate_summary": ("auto", "detailed"),
    "context": ("auto", "current_turn"),
    "mode": ("standard",),
}
"""What may be said of reasoning, which is given as the model wrote it."""
READ_HERE = ("safety_identifier", "user", "store")
"""Fields that this server reads, and hands on only where the operator says so."""
USUAL_TIERS = ("auto", "default")
LARGEST_EXTRA = 64 * 1024
"""Bytes of JSON that the fields of other servers may have together."""

OBFUSCATION = "stream_options.include_obfuscation"


class ReasoningOptions(Form):
    """How much the model is to think."""

    effort: Effort | None = None
    """Where the model thinks: such as `low` or `high`."""
    summary: Summary | None = None
    generate_summary: Summary | None = None
    """The older name of `summary`."""
    context: Context | None = None
    """`current_turn`: the model does not read what it thought in earlier turns."""
    mode: Mode | None = None

    def check_usual(self) -> None:
        """
        Refuse another form of reasoning than the model's own.

        Raises:
            InvalidRequest: A field is unknown.
            UnsupportedParameter: Another form is asked for.
        """
        given = {name: getattr(self, name) for name in _USUAL_REASONING}
        given.update(self.model_extra or {})
        refuse_unsupported(
            {f"reasoning.{name}": value for name, value in given.items()},
            only={f"reasoning.{name}": only for name, only in _USUAL_REASONING.items()},
        )


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
    logit_bias: LogitBias | None = None
    """Where the model's server knows it."""
    store: bool | None = None
    """`false`: the run's texts are erased at its end; what it took is kept."""
    stream: bool | None = None
    """Stream the response as server-sent events."""
    stream_options: StreamOptions | None = None
    n: Annotated[Integer, Field(ge=1, le=choices.MOST)] | None = None
    """How many choices there are to be: each is a run of its own."""

    def several(self, asked: NewRun) -> Sequence[NewRun] | None:
        """Return all that is asked, if there is to be more than one choice."""
        return [*choices.alike(asked, self.n)] if self.n and self.n > 1 else None

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @abstractmethod
    def asked(self, extra_fields: Collection[str] = ()) -> NewRun:
        """
        Return the prompt and its parameters for the engine.

        The OpenAI-compatible server gets the `extra_fields` that the request has.

        Raises:
            InvalidRequest: A parameter or message is invalid.
            UnsupportedParameter: This server does not support a parameter's value.
        """

    def let_go(self) -> None:
        """Free what may be large, once the prompt is kept."""

    def parameters(
        self,
        extra_fields: Collection[str],
        *,
        max_tokens: int | None = None,
        response_format: Mapping[str, Any] | None = None,
        tools: Tools = NO_TOOLS,
        reasoning_effort: str | None = None,
        verbosity: str | None = None,
        service_tier: str | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
    ) -> Parameters:
        """
        Return the parameters for the engine.

        Raises:
            InvalidRequest: There is an unknown parameter.
            UnsupportedParameter: This server does not support a parameter's value.
        """
        others, extra = self.model_extra or {}, None
        if extra_fields:
            stated = {name: getattr(self, name) for name in READ_HERE}
            extra = extra_of({**others, **stated}, extra_fields)
        if others:
            refuse_unsupported(without(others, extra))
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
            logprobs=logprobs,
            top_logprobs=top_logprobs if logprobs else None,
            logit_bias=self.logit_bias or None,
            service_tier=None if service_tier in USUAL_TIERS else service_tier,
            extra_fields=extra,
        )


def extra_of(
    others: Mapping[str, Any],
    names: Collection[str],
    *,
    only: Mapping[str, Sequence[Any]] = ONLY,
) -> Mapping[str, Any] | None:
    """
    Return the fields with some names, which a server is handed as they are.

    What would change how an answer has to be read (`only`) is not among them.

    Raises:
        InvalidRequest: They are too large, or no database can store them.
    """
    extra = {
        name: value
        for name, value in others.items()
        if name in names and name not in only and value is not None
    }
    if not extra:
        return None
    checked_json(extra, next(iter(extra)))
    if len(json.dumps(extra)) > LARGEST_EXTRA:
        largest = max(extra, key=lambda name: len(json.dumps(extra[name])))
        raise invalid(
            largest,
            f"The fields {', '.join(extra)} may have {LARGEST_EXTRA // 1024} KiB of "
            "JSON together. Send less.",
        )
    return extra


def without(
    others: Mapping[str, Any], extra: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Return the fields that are not among the `extra` ones."""
    if extra is None:
        return others
    return {name: value for name, value in others.items() if name not in extra}


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
            errors=[FieldError(name[:64], PARAMETER_UNKNOWN) for name in unknown[:16]]
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
