"""The request body of the Responses API."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from llamakeep.api.openai.content import message_schema
from llamakeep.api.openai.errors import PREVIOUS_NOT_FOUND
from llamakeep.api.openai.parameters import (
    IGNORED_EVERYWHERE,
    Effort,
    refuse_unsupported,
)
from llamakeep.api.openai.responses.reading import read_input
from llamakeep.api.openai.responses.rendering import RESPONSE
from llamakeep.api.openai.responses.text_format import TextOptions, response_format
from llamakeep.api.openai.tools import (
    FLAT_CHOICE_SCHEMA,
    FLAT_TOOL_SCHEMA,
    read_flat_tools,
)
from llamakeep.api.prompts.ids import run_id_of
from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import NewRun, Parameters
from llamakeep.errors import RunNotFound
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import (
    Asker,
    MaxTokens,
    Metadata,
    ModelName,
    OpenAITemperature,
    TopP,
)
from llamakeep.schemas.text import Text

IGNORED = IGNORED_EVERYWHERE | {"max_tool_calls"}

ONLY: Mapping[str, Sequence[Any]] = {
    "access_programs": (),
    "background_options": ({},),
    "context_management": ([],),
    "image": (),
    "include": ([],),
    "moderation": (),
    "prompt": (),
    "service_tier": ("auto", "default"),
    "stream_options": ({}, {"include_obfuscation": False}),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
"""Unsupported parameters, with the values that change nothing; `null` is always one."""

SUMMARIES = {"summary": ("auto",), "generate_summary": ("auto",)}
"""What may be asked for instead of a model's reasoning, which is given as it is."""

_TEXT = {"type": "string"}


def _object(kind: str | list[str], *required: str, **more: Any) -> dict[str, Any]:
    """Return the schema of an object whose required fields are text."""
    return {
        "type": "object",
        "required": ["type", *required, *more],
        "properties": {
            "type": {"enum": [kind] if isinstance(kind, str) else kind},
            **dict.fromkeys(required, _TEXT),
            **more,
        },
    }


def _texts(kind: str) -> dict[str, Any]:
    return {"type": "array", "items": _object(kind, "text")}


ITEM_SCHEMA = {
    "anyOf": [
        message_schema(
            {
                "anyOf": [
                    _object(["input_text", "output_text"], "text"),
                    _object("refusal", "refusal"),
                ]
            },
            type={"const": "message"},
        ),
        _object("reasoning", summary=_texts("summary_text")),
        _object("function_call", "call_id", "name", "arguments"),
        _object(
            "function_call_output",
            "call_id",
            output={"anyOf": [_TEXT, _texts("input_text")]},
        ),
    ]
}
INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": ITEM_SCHEMA}]}


def _id_alone(value: Any) -> Any:
    match value:
        case {"id": conversation_id, **others} if not others:
            return conversation_id
    return value


class ReasoningOptions(Form):
    """How much the model is to think."""

    effort: Effort | None = None
    """Where the model thinks: such as `low` or `high`."""
    summary: Annotated[str, WithJsonSchema({"const": "auto"})] | None = None
    generate_summary: Annotated[str, WithJsonSchema({"const": "auto"})] | None = None
    """The older name of `summary`."""


class ResponseRequest(Form):
    """The input, what it continues, and how the model is to respond."""

    model_config = ConfigDict(extra="allow")

    input: Annotated[Any, WithJsonSchema(INPUT_SCHEMA)]
    """A prompt, or items of which the last one is what is answered."""
    model: ModelName | None = None
    """One of `/v1/models`, or a model's bare id; by default, the server's default."""
    instructions: Text | None = None
    """The system prompt of this response; later responses do not inherit it."""
    previous_response_id: Annotated[str, Field(max_length=64)] | None = None
    """Continue after this response, even if others have followed it."""
    conversation: (
        Annotated[Text, Field(min_length=1, max_length=64), BeforeValidator(_id_alone)]
        | None
    ) = None
    """Continue after the last response of this conversation: its id, or `{"id": …}`."""
    max_output_tokens: MaxTokens | None = None
    temperature: OpenAITemperature | None = None
    top_p: TopP | None = None
    text: TextOptions | None = None
    tools: (
        Annotated[
            list[Annotated[dict[str, Any], WithJsonSchema(FLAT_TOOL_SCHEMA)]],
            Field(fail_fast=True),
        ]
        | None
    ) = None
    """Up to 128 functions of yours that the model may call, where it can."""
    tool_choice: Annotated[Any, WithJsonSchema(FLAT_CHOICE_SCHEMA)] = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningOptions | None = None
    metadata: Metadata | None = None
    """Up to 16 tags of your own, kept with the run."""
    safety_identifier: Asker = None
    """Your own user for whom this is, kept with the run."""
    user: Asker = None
    """The older name of `safety_identifier`, which counts if both are there."""
    stream: bool | None = None
    """Stream the response as server-sent events."""
    background: bool | None = None
    """Return at once; the response can be polled, followed and canceled by its id."""

    def asked(self) -> NewRun:
        """
        Return the prompt and its parameters for the engine.

        Raises:
            InvalidRequest: A parameter or item is invalid.
            UnsupportedParameter: This server does not support a parameter's value.
        """
        if self.model_extra:
            refuse_unsupported(self.model_extra, ignored=IGNORED, only=ONLY)
        if self.reasoning is not None:
            refuse_unsupported(
                {
                    f"reasoning.{name}": getattr(self.reasoning, name)
                    for name in SUMMARIES
                },
                only={f"reasoning.{name}": only for name, only in SUMMARIES.items()},
            )
        tools = read_flat_tools(
            self.tools, self.tool_choice, are_parallel=self.parallel_tool_calls
        )
        verbosity = None if self.text is None else self.text.verbosity
        previous_run_id = self._previous_run_id()
        given = read_input(
            self.input,
            is_continued=bool(previous_run_id or self.conversation),
        )
        return NewRun(
            prompt=given.prompt,
            prior_messages=given.earlier,
            last_message=given.last_message,
            check_followed=given.check_followed,
            model=self.model,
            system_prompt=self.instructions or None,
            inherits_system_prompt=False,
            previous_run_id=previous_run_id,
            conversation_id=self.conversation,
            parameters=Parameters(
                max_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                response_format=response_format(self.text),
                tools=tools.tools,
                tool_choice=tools.choice,
                parallel_tool_calls=tools.are_parallel,
                reasoning_effort=(
                    None if self.reasoning is None else self.reasoning.effort
                ),
                # It is every model's own, so that those need not know it.
                verbosity=None if verbosity == "medium" else verbosity,
            ),
            metadata=self.metadata or {},
            end_user=self.safety_identifier or self.user,
        )

    def _previous_run_id(self) -> str | None:
        if self.previous_response_id is None:
            return None
        if self.conversation is not None:
            raise invalid(
                "previous_response_id",
                "A response continues another one or a conversation. Send only one of "
                "`previous_response_id` and `conversation`.",
            )
        try:
            return run_id_of(self.previous_response_id, RESPONSE)
        except RunNotFound:
            raise invalid("previous_response_id", PREVIOUS_NOT_FOUND) from None
