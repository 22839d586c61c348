"""The request bodies of the Messages API."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from llamakeep.api.anthropic.content import TEXT_SCHEMA, text_of
from llamakeep.api.anthropic.reading import MESSAGE_SCHEMA, read_messages
from llamakeep.api.anthropic.rendering import Shown
from llamakeep.api.anthropic.tools import CHOICE_SCHEMA, TOOL_SCHEMA, read_tools
from llamakeep.api.http.problems import FIELD_UNKNOWN
from llamakeep.api.prompts.reading import MOST_MESSAGES, checked_json, invalid
from llamakeep.domain import NewRun, Parameters
from llamakeep.errors import FieldError, InvalidRequest, UnsupportedParameter
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import (
    Asker,
    Integer,
    MaxTokens,
    ModelName,
    OpenAITemperature,
    StopText,
    TopK,
    TopP,
)
from llamakeep.schemas.text import Text

IGNORED = frozenset({"cache_control"})
"""Parameters that change nothing."""
_CONTEXT = "context_management"
ONLY: Mapping[str, Sequence[Any]] = {
    "container": (),
    _CONTEXT: ({}, {"edits": []}),
    "inference_geo": ("global",),
    "mcp_servers": ([],),
    "speed": ("standard",),
    "thread": (),
}
"""Unsupported parameters, with the values that change nothing; `null` is always one."""

_EFFORTS = ((4096, "low"), (16384, "medium"))
"""Up to how many tokens of thinking that is: OpenAI-compatible servers take words."""


class Metadata(Form):
    """Whom a message is for."""

    user_id: Asker = None
    """An id of your own for your user, kept as the run's end user."""


class Thinking(Form):
    """Whether the model is to think before it answers."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[Integer, Field(ge=1)] | None = None
    """How much it may think, if enabled: becomes an effort of low, medium or high."""
    display: Literal["summarized", "omitted"] | None = None
    """`omitted` leaves the text of thinking out of the answer; the history has it."""

    @property
    def effort(self) -> str | None:
        """How much the model is to think."""
        if self.type != "enabled":
            return None
        if self.budget_tokens is None:
            raise invalid("thinking.budget_tokens", "It is required with `enabled`.")
        for most, effort in _EFFORTS:
            if self.budget_tokens < most:
                return effort
        return "high"


class OutputConfig(Form):
    """What the answer is to be like."""

    effort: Annotated[Text, Field(min_length=1, max_length=64)] | None = None
    """How much the model is to think, where it does: such as `low` or `high`."""
    format: dict[str, Any] | None = None
    """`{"type": "json_schema", "schema": …}`, where the model supports it."""

    @property
    def response_format(self) -> Mapping[str, Any] | None:
        """The format as chat completions write it."""
        if self.format is None:
            return None
        match self.format:
            case {"type": "json_schema", "schema": dict(schema)}:
                pass
            case _:
                raise invalid(
                    "output_config.format",
                    "It has to be of the type `json_schema`, and have a `schema`.",
                )
        checked_json(schema, "output_config.format.schema")
        wanted = {"name": "answer", "schema": schema, "strict": True}
        return {"type": "json_schema", "json_schema": wanted}


class CountRequest(Form):
    """Messages, and what else a model reads."""

    model_config = ConfigDict(extra="allow")

    model: ModelName | None = None
    """One of `/v1/models`, or a model's bare id; by default, the server's default."""
    messages: Annotated[
        list[Annotated[dict[str, Any], WithJsonSchema(MESSAGE_SCHEMA)]],
        Field(min_length=1, max_length=MOST_MESSAGES, fail_fast=True),
    ]
    """The conversation so far; the last message is what is answered."""
    system: Annotated[Any, WithJsonSchema(TEXT_SCHEMA)] = None
    """The system prompt."""
    tools: (
        Annotated[
            list[Annotated[dict[str, Any], WithJsonSchema(dict(TOOL_SCHEMA))]],
            Field(fail_fast=True),
        ]
        | None
    ) = None
    """Up to 128 tools of yours that the model may call, where it can."""
    tool_choice: Annotated[Any, WithJsonSchema(CHOICE_SCHEMA)] = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    def asked(self) -> NewRun:
        """
        Return the prompt and its parameters for the engine.

        Raises:
            InvalidRequest: A parameter or message is invalid.
            UnsupportedParameter: This server does not support a parameter's value.
        """
        _refuse_unsupported(self.model_extra or {})
        parameters = self._parameters()
        system = None if self.system is None else text_of(self.system, "system")
        said = read_messages(self.messages)
        return NewRun(
            prompt=said.prompt,
            model=self.model,
            system_prompt=system or None,
            prior_messages=said.earlier,
            last_message=said.last_message,
            parameters=parameters,
            end_user=self._end_user(),
            source="messages",
        )

    def _end_user(self) -> str | None:
        return None

    def _parameters(self, **more: Any) -> Parameters:
        tools = read_tools(self.tools, self.tool_choice)
        output = self.output_config or OutputConfig()
        effort = None if self.thinking is None else self.thinking.effort
        return Parameters(
            tools=tools.tools,
            tool_choice=tools.choice,
            parallel_tool_calls=tools.are_parallel,
            response_format=output.response_format,
            reasoning_effort=output.effort or effort,
            **more,
        )


class MessageRequest(CountRequest):
    """Messages, and how the model is to respond to the last one."""

    max_tokens: MaxTokens
    """How long the answer may be."""
    stop_sequences: Annotated[list[StopText], Field(max_length=16)] | None = None
    """Up to 16: the answer ends before one of them."""
    temperature: OpenAITemperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    """It changes nothing, since there is one."""
    stream: bool | None = None
    """Stream the answer as server-sent events."""

    @property
    def shown(self) -> Shown:
        """What the answer shows of what its model thought."""
        thinking = self.thinking or Thinking(type="disabled")
        is_shown = thinking.type != "disabled"
        return Shown(
            is_shown, thinking.display != "omitted", is_shown or bool(self.tools)
        )

    def _end_user(self) -> str | None:
        return None if self.metadata is None else self.metadata.user_id

    def _parameters(self, **more: Any) -> Parameters:
        return super()._parameters(
            max_tokens=self.max_tokens,
            stop=tuple(self.stop_sequences or ()),
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            **more,
        )


def _refuse_unsupported(others: Mapping[str, Any]) -> None:
    if _CONTEXT in others:
        others = {**others, _CONTEXT: _other_edits(others[_CONTEXT])}
    given = [
        name
        for name, value in others.items()
        if value is not None and name not in IGNORED
    ]
    if unknown := [name for name in given if name not in ONLY]:
        raise InvalidRequest(
            errors=[FieldError(name[:64], FIELD_UNKNOWN) for name in unknown[:16]]
        )
    for name in given:
        if others[name] not in ONLY[name]:
            known = " or ".join(json.dumps(value) for value in ONLY[name])
            raise UnsupportedParameter(
                f"This server cannot honour {name!r}. Nothing was stored. Leave it out"
                f"{f', or send {known}' if known else ''}.",
                parameters=[name],
            )


def _other_edits(management: Any) -> Any:
    """
    Return what is to be done with what was said, without what is done anyway.

    Few models are told again what they thought, whatever is to be kept of it.
    """
    match management:
        case {"edits": list(edits)}:
            left = [edit for edit in edits if not _clears_thinking(edit)]
            return {**management, "edits": left}
    return management


def _clears_thinking(edit: Any) -> bool:
    kind = edit.get("type") if isinstance(edit, Mapping) else None
    return isinstance(kind, str) and kind.startswith("clear_thinking_")
