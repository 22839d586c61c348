"""The request body of the Responses API."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from llamakeep.api.openai.content import invalid, message_schema
from llamakeep.api.openai.errors import PREVIOUS_NOT_FOUND
from llamakeep.api.openai.ids import run_id_of
from llamakeep.api.openai.parameters import IGNORED_EVERYWHERE, refuse_unsupported
from llamakeep.api.openai.responses.items import read_input
from llamakeep.api.openai.responses.rendering import RESPONSE
from llamakeep.api.openai.responses.text_format import TextOptions, response_format
from llamakeep.domain import NewRun, Parameters
from llamakeep.errors import RunNotFound
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import (
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
    "reasoning": ({}, {"effort": None}, {"effort": None, "summary": None}),
    "service_tier": ("auto", "default"),
    "stream_options": ({}, {"include_obfuscation": False}),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
"""Unsupported parameters, with the values that change nothing; `null` is always one."""

VERBOSITY = "text.verbosity"

ITEM_SCHEMA = message_schema(
    {
        "type": "object",
        "required": ["type", "text"],
        "properties": {
            "type": {"enum": ["input_text", "output_text"]},
            "text": {"type": "string"},
        },
    },
    type={"const": "message"},
)
INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": ITEM_SCHEMA}]}


def _id_alone(value: Any) -> Any:
    match value:
        case {"id": conversation_id, **others} if not others:
            return conversation_id
    return value


class ResponseRequest(Form):
    """The input, what it continues, and how the model is to respond."""

    model_config = ConfigDict(extra="allow")

    input: Annotated[Any, WithJsonSchema(INPUT_SCHEMA)]
    """A prompt, or messages of which the last one is the user's."""
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
    metadata: Metadata | None = None
    """Up to 16 tags of your own, kept with the run."""
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
        if self.text is not None:
            verbosity = self.text.verbosity
            refuse_unsupported({VERBOSITY: verbosity}, only={VERBOSITY: ("medium",)})
        prompt, earlier = read_input(self.input)
        return NewRun(
            prompt=prompt,
            prior_messages=earlier,
            model=self.model,
            system_prompt=self.instructions or None,
            inherits_system_prompt=False,
            previous_run_id=self._previous_run_id(),
            conversation_id=self.conversation,
            parameters=Parameters(
                max_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                response_format=response_format(self.text),
            ),
            metadata=self.metadata or {},
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
