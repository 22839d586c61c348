"""OpenAI's chat completions API."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import ConfigDict, Field, WithJsonSchema

from llamakeep import errors
from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai.answering import answer
from llamakeep.api.openai.errors import COMPLETION_ERRORS
from llamakeep.api.openai.formats import read_format
from llamakeep.api.openai.forms import ChatCompletion
from llamakeep.api.openai.messages import (
    ChatMessages,
    place_of_images,
    place_of_last,
    place_of_tools,
    read_messages,
)
from llamakeep.api.openai.parameters import (
    CompletionRequest,
    MostLikely,
    ReasoningOptions,
    ServiceTier,
    extra_of,
)
from llamakeep.api.openai.tools import (
    CHOICE_SCHEMA,
    FUNCTION_CHOICE_SCHEMA,
    FUNCTION_SCHEMA,
    NO_TOOLS,
    ChatTools,
    Tools,
    read_functions,
    read_tools,
)
from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import NewRun
from llamakeep.engine.routing.prompting import MESSAGES, PREFILL
from llamakeep.providers.base import IMAGES
from llamakeep.schemas.fields import Effort, MaxTokens, Metadata

router = Router(prefix="/v1/chat/completions", tags=["openai"], queries=Queries.VENDORS)

Function = Annotated[dict[str, Any], WithJsonSchema(FUNCTION_SCHEMA)]


REASONING = "reasoning"
"""A parameter that also has fields of other servers, where they may be handed on."""


class ChatReasoning(ReasoningOptions):
    """How much the model is to think, with the fields of other servers."""

    model_config = ConfigDict(extra="allow")


class ChatRequest(CompletionRequest):
    """Messages, and how the model is to respond to the last one."""

    messages: ChatMessages
    """The conversation so far; the last message is what is answered."""
    max_completion_tokens: MaxTokens | None = None
    response_format: dict[str, Any] | None = None
    """`json_object`, or `json_schema` with a schema, where the model supports it."""
    tools: ChatTools | None = None
    """Up to 128 functions of yours that the model may call, where it can."""
    tool_choice: Annotated[Any, WithJsonSchema(CHOICE_SCHEMA)] = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Function], Field(fail_fast=True)] | None = None
    """The older name of `tools`."""
    function_call: Annotated[Any, WithJsonSchema(FUNCTION_CHOICE_SCHEMA)] = None
    """The older name of `tool_choice`."""
    reasoning_effort: Effort | None = None
    """How much the model is to think, where it does: such as `low` or `high`."""
    reasoning: ChatReasoning | None = None
    """Another place for `reasoning_effort`, as in the Responses API."""
    verbosity: Effort | None = None
    service_tier: ServiceTier | None = None
    logprobs: bool | None = None
    """Whether to say how likely the tokens were, where the model's server can."""
    top_logprobs: MostLikely | None = None
    """How many other tokens to say at each place, with `logprobs`."""
    metadata: Metadata | None = None
    """Up to 16 tags of your own, kept with the run."""

    def asked(self, extra_fields: Collection[str] = ()) -> NewRun:
        """Return the prompt and its parameters for the engine."""
        if None not in {self.max_tokens, self.max_completion_tokens} and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise invalid(
                "max_tokens", "It is another name of `max_completion_tokens`. Send one."
            )
        if self.top_logprobs and not self.logprobs:
            raise invalid("top_logprobs", "It needs `logprobs`, which is false.")
        may_have_tools = bool(
            self.tools
            or self.functions
            or self.tool_choice is not None
            or self.function_call is not None
        )
        # Errors in parameters are reported before errors in messages.
        parameters = self.parameters(
            extra_fields,
            max_tokens=self.max_completion_tokens,
            response_format=read_format(self.response_format),
            tools=self._tools() if may_have_tools else NO_TOOLS,
            reasoning_effort=(
                self.reasoning_effort
                if self.reasoning is None
                else self._effort(self.reasoning, extra_fields)
            ),
            service_tier=self.service_tier,
            logprobs=self.logprobs or None,
            top_logprobs=self.top_logprobs,
            # It is every model's own, so that those need not know it.
            verbosity=None if self.verbosity == "medium" else self.verbosity,
        )
        if self.reasoning is not None and REASONING in extra_fields:
            more = {REASONING: self.reasoning.model_dump(exclude_unset=True)}
            extra = extra_of({**(parameters.extra_fields or {}), **more}, extra_fields)
            parameters = replace(parameters, extra_fields=extra)
        said = read_messages(self.messages)
        return NewRun(
            prompt=said.prompt,
            model=self.model,
            system_prompt=said.system_prompt,
            prior_messages=said.earlier,
            last_message=said.last_message,
            parameters=parameters,
            max_tokens_name=(
                None if self.max_completion_tokens is None else "max_completion_tokens"
            ),
            metadata=self.metadata or {},
            end_user=self.safety_identifier or self.user,
            source="chat-completions",
            store=self.store is not False,
        )

    def _effort(
        self, given: ChatReasoning, extra_fields: Collection[str]
    ) -> str | None:
        """Return how much the model is to think, where `reasoning` may say it."""
        if REASONING in extra_fields:
            return self.reasoning_effort  # the model's server reads the other itself
        given.check_usual()
        if None not in {given.effort, self.reasoning_effort} and (
            given.effort != self.reasoning_effort
        ):
            raise invalid(
                "reasoning.effort",
                "It is another place for `reasoning_effort`. Send one.",
            )
        return given.effort or self.reasoning_effort

    def let_go(self) -> None:
        """Free the messages, whose images may be large."""
        self.messages = []

    def _tools(self) -> Tools:
        without_meaning = (None, "none", "auto")
        if not self.functions and self.function_call in without_meaning:
            return read_tools(
                self.tools, self.tool_choice, are_parallel=self.parallel_tool_calls
            )
        if self.tools or self.tool_choice not in without_meaning:
            raise invalid(
                "functions" if self.functions else "function_call",
                "It is an older name, which `tools` and `tool_choice` do not go with. "
                "Leave it out.",
            )
        return read_functions(self.functions, self.function_call)


@router.prompts(
    "",
    response_class=Response,
    responses=COMPLETION_ERRORS
    | {
        200: {
            "description": "A `chat.completion`; with `stream`, its chunks.",
            "content": {"application/json": {}, "text/event-stream": {}},
        }
    },
)
async def create(
    body: ChatRequest,
    request: Request,
    user: PromptingUser,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """
    Create a chat completion, as with OpenAI's API.

    Closing the connection cancels the run, unless the request had an `Idempotency-Key`;
    the prompt and the text so far stay in the history.
    """
    form = partial(ChatCompletion, is_older=bool(body.functions))
    try:
        return await answer(request, user, body, form, idempotency_key)
    except errors.UnsupportedParameter as error:
        if MESSAGES in error.parameters:
            error.parameters = (place_of_tools(body.messages),)
        if PREFILL in error.parameters:
            error.parameters = (place_of_last(body.messages),)
        if IMAGES in error.parameters:
            error.parameters = (place_of_images(body.messages),)
        raise
