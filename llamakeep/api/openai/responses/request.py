"""The request body of the Responses API."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from llamakeep.api.openai.content import FLAT_IMAGE_SCHEMA, message_schema
from llamakeep.api.openai.errors import PREVIOUS_NOT_FOUND
from llamakeep.api.openai.parameters import (
    IGNORED_EVERYWHERE,
    READ_HERE,
    USUAL_TIERS,
    MostLikely,
    ReasoningOptions,
    ServiceTier,
    extra_of,
    refuse_unsupported,
    without,
)
from llamakeep.api.openai.responses import namespaces
from llamakeep.api.openai.responses.reading import read_input
from llamakeep.api.openai.responses.rendering import RESPONSE
from llamakeep.api.openai.responses.text_format import TextOptions, response_format
from llamakeep.api.openai.tools import (
    FLAT_CHOICE_SCHEMA,
    FLAT_TOOL_SCHEMA,
    read_flat_tools,
)
from llamakeep.api.prompts.ids import run_id_of
from llamakeep.api.prompts.reading import MOST_MESSAGES, invalid
from llamakeep.domain import NewRun, Parameters
from llamakeep.errors import RunNotFound, UnsupportedParameter
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import (
    Asker,
    Integer,
    MaxTokens,
    Metadata,
    ModelName,
    OpenAITemperature,
    Penalty,
    TopP,
)
from llamakeep.schemas.text import Text

IGNORED = IGNORED_EVERYWHERE | {"client_metadata"}

ONLY: Mapping[str, Sequence[Any]] = {
    "access_programs": (),
    "background_options": ({},),
    "context_management": ([],),
    "image": (),
    "moderation": (),
    "prompt": (),
    "stream_options": ({}, {"include_obfuscation": False}),
}
"""Unsupported parameters, with the values that change nothing; `null` is always one."""

LOGPROBS = "message.output_text.logprobs"
INCLUDED = frozenset(
    {
        LOGPROBS,
        "reasoning.encrypted_content",
        # It is always there.
        "message.input_image.image_url",
        # Without hosted tools, there is nothing of these.
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)
"""What may be asked for in addition: it is given where there is any."""
ECHOED = ("max_tool_calls", "prompt_cache_key")
"""Fields that change nothing here, and are shown again."""

TOOL_SCHEMA = {"anyOf": [FLAT_TOOL_SCHEMA, namespaces.SCHEMA]}
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
                    FLAT_IMAGE_SCHEMA,
                ]
            },
            type={"const": "message"},
        ),
        _object("reasoning", summary=_texts("summary_text")),
        _object("compaction", "encrypted_content"),
        _object("function_call", "call_id", "name", "arguments"),
        _object(
            "function_call_output",
            "call_id",
            output={
                "anyOf": [
                    _TEXT,
                    {
                        "type": "array",
                        "items": {
                            "anyOf": [_object("input_text", "text"), FLAT_IMAGE_SCHEMA]
                        },
                    },
                ]
            },
        ),
    ]
}
INPUT_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": ITEM_SCHEMA}]}


def _id_alone(value: Any) -> Any:
    match value:
        case {"id": conversation_id, **others} if not others:
            return conversation_id
    return value


def few(value: Any) -> Any:
    """
    Return the input of a request that has not too many items.

    Raises:
        ValueError: It has.
    """
    if isinstance(value, list) and len(value) > MOST_MESSAGES:
        raise ValueError(f"It has {len(value)} items; {MOST_MESSAGES} are possible.")
    return value


Label = Annotated[Text, Field(max_length=512)]


def refuse_includes(given: Collection[str]) -> None:
    """
    Refuse additional output that this server does not have.

    Raises:
        UnsupportedParameter: It names what there is.
    """
    if unknown := [name for name in given if name not in INCLUDED]:
        raise UnsupportedParameter(
            f"This server has no {unknown[0][:64]!a} to include. Nothing was stored. "
            f"There are: {', '.join(sorted(INCLUDED))}.",
            parameters=["include"],
        )


class ResponseRequest(Form):
    """The input, what it continues, and how the model is to respond."""

    model_config = ConfigDict(extra="allow")

    input: Annotated[Any, AfterValidator(few), WithJsonSchema(INPUT_SCHEMA)]
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
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    text: TextOptions | None = None
    tools: (
        Annotated[
            list[Annotated[dict[str, Any], WithJsonSchema(TOOL_SCHEMA)]],
            Field(fail_fast=True),
        ]
        | None
    ) = None
    """Up to 128 functions of yours that the model may call, also in namespaces."""
    tool_choice: Annotated[Any, WithJsonSchema(FLAT_CHOICE_SCHEMA)] = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[Integer, Field(ge=1)] | None = None
    """It limits hosted tools, of which there are none."""
    reasoning: ReasoningOptions | None = None
    include: Annotated[list[Text], Field(max_length=16)] | None = None
    top_logprobs: MostLikely | None = None
    """How many other tokens to say at each place of the text."""
    truncation: Literal["auto", "disabled"] | None = None
    """With `auto`, the oldest messages are left out if all are too long for a model."""
    service_tier: ServiceTier | None = None
    prompt_cache_key: Label | None = None
    metadata: Metadata | None = None
    """Up to 16 tags of your own, kept with the run."""
    safety_identifier: Asker = None
    """Your own user for whom this is, kept with the run."""
    user: Asker = None
    """The older name of `safety_identifier`, which counts if both are there."""
    store: bool | None = None
    """`false`: the run's texts are erased at its end; what it took is kept."""
    stream: bool | None = None
    """Stream the response as server-sent events."""
    background: bool | None = None
    """Return at once; the response can be polled, followed and canceled by its id."""

    def asked(self, extra_fields: Collection[str] = ()) -> NewRun:
        """
        Return the prompt and its parameters for the engine.

        The OpenAI-compatible server gets the `extra_fields` that the request has.

        Raises:
            InvalidRequest: A parameter or item is invalid.
            UnsupportedParameter: This server does not support a parameter's value.
        """
        others = self.model_extra or {}
        stated = self._stated(*ECHOED, *READ_HERE)
        extra = extra_of({**others, **stated}, extra_fields, only=ONLY)
        refuse_unsupported(without(others, extra), ignored=IGNORED, only=ONLY)
        if self.reasoning is not None:
            self.reasoning.check_usual()
        refuse_includes(self.include or ())
        has_logprobs = bool(self.top_logprobs) or LOGPROBS in (self.include or ())
        tools = read_flat_tools(
            namespaces.with_places(self.tools or ()),
            self.tool_choice,
            are_parallel=self.parallel_tool_calls,
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
            source="responses",
            previous_run_id=previous_run_id,
            conversation_id=self.conversation,
            parameters=Parameters(
                max_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                presence_penalty=self.presence_penalty,
                frequency_penalty=self.frequency_penalty,
                response_format=response_format(self.text),
                tools=tools.tools,
                tool_choice=tools.choice,
                parallel_tool_calls=tools.are_parallel,
                reasoning_effort=(
                    None if self.reasoning is None else self.reasoning.effort
                ),
                # It is every model's own, so that those need not know it.
                verbosity=None if verbosity == "medium" else verbosity,
                logprobs=has_logprobs or None,
                top_logprobs=self.top_logprobs if has_logprobs else None,
                truncation=None if self.truncation != "auto" else "auto",
                service_tier=(
                    None if self.service_tier in USUAL_TIERS else self.service_tier
                ),
                extra_fields=extra,
                echoed=self._echoed() or None,
            ),
            metadata=self.metadata or {},
            end_user=self.safety_identifier or self.user,
            store=self.store is not False,
            is_read_later=bool(self.background),
        )

    def _stated(self, *names: str) -> dict[str, Any]:
        given = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in given if value is not None}

    def _echoed(self) -> dict[str, Any]:
        """Return what no model reads, and the response shows again."""
        echoed = self._stated(*ECHOED)
        if self.background:
            echoed["background"] = True
        reasoning = self.reasoning
        if spaces := namespaces.namespaces_in(self.tools or ()):
            echoed[namespaces.ECHOED] = spaces
        if reasoning is not None and (reasoning.summary or reasoning.generate_summary):
            echoed["summary"] = reasoning.summary or reasoning.generate_summary
        return echoed

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
