"""The request body of `POST /prompt/`."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict

from llamakeep.api.openai.formats import read_format
from llamakeep.api.openai.messages import ChatMessages, Said, read_instead_of_prompt
from llamakeep.api.openai.tools import (
    CHOICE_SCHEMA,
    NO_TOOLS,
    ChatTools,
    read_tools,
)
from llamakeep.api.prompts.reading import invalid
from llamakeep.api.webhooks.outgoing import WebhookUrl
from llamakeep.domain import Image, NewRun, Parameters, Part
from llamakeep.domain.images import MOST_IMAGES
from llamakeep.domain.messages import Text as TextPart
from llamakeep.domain.messages import message_of
from llamakeep.domain.runs import FOLLOWS_NOTHING, PLAIN
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import (
    Effort,
    EndUser,
    MaxTokens,
    Metadata,
    MinTokens,
    ModelName,
    Penalty,
    Seed,
    StopText,
    Temperature,
    TopK,
    TopP,
)
from llamakeep.schemas.images import read_image
from llamakeep.schemas.text import SomeText, Text

_PARAMETERS = frozenset(each.name for each in fields(Parameters))
_EITHER: JsonDict = {"oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}]}


class PromptRequest(Form):
    """A prompt, or messages, and how the model is to respond."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_EITHER)

    prompt: SomeText | None = None
    """What you want to ask."""
    messages: ChatMessages | None = None
    """
    Instead of a prompt: messages as OpenAI's chat completions have them; the last one
    is what is answered. They may begin with the results of the tools that the run which
    they continue called.
    """
    images: Annotated[list[Text], Field(max_length=MOST_IMAGES)] | None = None
    """What the prompt is about: `data:` URLs with base64, or https addresses."""
    model: ModelName | None = None
    """`provider:model`, or a model's bare id; without it, the server's default."""
    system_prompt: Text | None = None
    """How the model is to behave."""
    conversation_id: Annotated[Text, Field(max_length=32)] | None = None
    """The conversation to continue, from an earlier response."""
    previous_run_id: Annotated[Text, Field(max_length=32)] | None = None
    """
    Continue after this run instead, even if others have followed it. `none` begins anew
    within the conversation: the model is told of nothing that was said before.
    """
    max_tokens: MaxTokens | None = None
    min_tokens: MinTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = None
    """A stop sequence, or up to 16: the response ends before it."""
    seed: Seed | None = None
    """The same seed asks for the same response, where the model supports that."""
    response_format: dict[str, Any] | None = None
    """`json_object`, or `json_schema` with a schema, where the model supports it."""
    tools: ChatTools | None = None
    """Up to 128 functions of yours that the model may call, where it can."""
    tool_choice: Annotated[Any, WithJsonSchema(CHOICE_SCHEMA)] = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    """How much the model is to think, where it does: such as `low` or `high`."""
    metadata: Metadata | None = None
    """Up to 16 tags of your own, kept with the run."""
    end_user: EndUser | None = None
    """Your own user for whom this is: an id, kept with the run."""
    store: bool | None = None
    """`false`: the run's texts are erased at its end; what it took is kept."""
    stream: bool | None = None
    """Stream the response as server-sent events."""
    background: bool | None = None
    """Return `202` at once; the run is in the history, and can be followed there."""
    webhook: WebhookUrl | None = None
    """With `background`: an https URL to which the server posts the run at its end."""

    def asked(self) -> NewRun:
        """
        Return the prompt and its parameters for the engine.

        Raises:
            InvalidRequest: A field is invalid, or does not go with another one.
            UnsupportedParameter: This server does not support a field's value.
        """
        previous_run_id = self.previous_run_id
        if self.conversation_id is None and previous_run_id == FOLLOWS_NOTHING:
            previous_run_id = None  # as it begins a conversation
        if self.conversation_id is not None and previous_run_id not in {
            None,
            FOLLOWS_NOTHING,
        }:
            raise invalid(
                "previous_run_id",
                "A prompt continues a run or a conversation. Send only one of "
                "`previous_run_id` and `conversation_id`, unless the former is `none`.",
            )
        parameters = PLAIN
        if not self.model_fields_set.isdisjoint(_PARAMETERS):
            parameters = self._parameters()
        new = NewRun(
            prompt=self.prompt or "",
            model=self.model,
            system_prompt=self.system_prompt,
            conversation_id=self.conversation_id,
            previous_run_id=previous_run_id,
            parameters=parameters,
            metadata=self.metadata or {},
            end_user=self.end_user,
            source="prompt",
            store=self.store is not False,
            is_read_later=bool(self.background),
        )
        if self.messages is None and self.prompt is not None and not self.images:
            return new
        said = self._said()
        return replace(
            new,
            prompt=said.prompt,
            system_prompt=said.system_prompt,
            prior_messages=said.earlier,
            last_message=said.last_message,
            check_followed=said.check_followed,
        )

    def _parameters(self) -> Parameters:
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        tools = NO_TOOLS
        if self.tools or self.tool_choice is not None:
            tools = read_tools(
                self.tools, self.tool_choice, are_parallel=self.parallel_tool_calls
            )
        return Parameters(
            max_tokens=self.max_tokens,
            min_tokens=self.min_tokens or None,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            stop=stop,
            seed=self.seed,
            response_format=(
                None
                if self.response_format is None
                else read_format(self.response_format)
            ),
            tools=tools.tools,
            tool_choice=tools.choice,
            parallel_tool_calls=tools.are_parallel,
            reasoning_effort=self.reasoning_effort,
        )

    def _said(self) -> Said:
        if self.messages is None:
            if self.prompt is None:
                raise invalid(
                    "prompt", "This field is required, or `messages` instead of it."
                )
            parts: list[Part] = [TextPart(self.prompt), *self._images()]
            message = message_of("user", parts)
            return Said(self.prompt, self.system_prompt, (), message)
        if self.images:
            raise invalid(
                "images",
                "They belong to a `prompt`. Put them into the `content` of a message: "
                '`{"type": "image_url", "image_url": {"url": "…"}}`.',
            )
        return read_instead_of_prompt(
            self.messages,
            prompt=self.prompt,
            system_prompt=self.system_prompt,
            is_continued=bool(self.conversation_id or self.previous_run_id),
        )

    def _images(self) -> Iterator[Image]:
        for index, url in enumerate(self.images or ()):
            yield read_image(url, f"images[{index}]")
