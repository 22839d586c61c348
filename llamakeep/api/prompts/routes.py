"""`POST /prompt/`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.problems import ANSWERING, problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.prompts.events import (
    accepted_response,
    accepts_only_events,
    stream_response,
)
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.prompts.schemas import PromptResponse
from llamakeep.api.webhooks.outgoing import RUN, WebhookUrl, wanted
from llamakeep.domain import (
    NewRun,
    Notification,
    NotificationEvent,
    Parameters,
    User,
)
from llamakeep.errors import (
    ConversationNotFound,
    InvalidRequest,
    NoProvider,
)
from llamakeep.history.records import shown
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import (
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
from llamakeep.schemas.json_text import to_json
from llamakeep.schemas.text import SomeText, Text
from llamakeep.services import services_of

router = Router(tags=["prompt"])


class PromptRequest(Form):
    """A prompt, and how the model is to respond."""

    prompt: SomeText
    """What you want to ask."""
    model: ModelName | None = None
    """`provider:model`, or a model's bare id; without it, the server's default."""
    system_prompt: Text | None = None
    """How the model is to behave."""
    conversation_id: Annotated[Text, Field(max_length=32)] | None = None
    """The conversation to continue, from an earlier response."""
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
    metadata: Metadata | None = None
    """Up to 16 tags of your own, kept with the run."""
    end_user: EndUser | None = None
    """Your own user for whom this is: an id, kept with the run."""
    stream: bool | None = None
    """Stream the response as server-sent events."""
    background: bool | None = None
    """Return `202` at once; the run is in the history, and can be followed there."""
    webhook: WebhookUrl | None = None
    """With `background`: an https URL to which the server posts the run at its end."""

    def asked(self) -> NewRun:
        """Return the prompt and its parameters for the engine."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return NewRun(
            prompt=self.prompt,
            model=self.model,
            system_prompt=self.system_prompt,
            conversation_id=self.conversation_id,
            parameters=Parameters(
                max_tokens=self.max_tokens,
                min_tokens=self.min_tokens or None,
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                presence_penalty=self.presence_penalty,
                frequency_penalty=self.frequency_penalty,
                stop=stop,
                seed=self.seed,
            ),
            metadata=self.metadata or {},
            end_user=self.end_user,
        )


@router.prompts(
    "/prompt/",
    response_model=PromptResponse,
    responses=problem_responses(*ANSWERING, ConversationNotFound, NoProvider)
    | {
        200: {"content": {"text/event-stream": {}}},
        202: {"model": PromptResponse, "description": "The run has begun."},
    },
)
async def prompt(
    body: PromptRequest,
    request: Request,
    user: PromptingUser,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """
    Send a prompt to a model, and store both the prompt and the response.

    The prompt is on disk before it is sent to the model. If the connection is lost, the
    run continues, and its response is in the history.
    """
    engine = services_of(request).engine
    is_streamed = bool(body.stream) or accepts_only_events(request)

    async def asked() -> NewRun:
        notifications = await _wanted(request, user, body)
        return replace(body.asked(), notifications=notifications)

    new = body.asked() if body.webhook is None else asked
    key = await key_of(request, idempotency_key, body)
    if body.background:
        run = await engine.accept(user, new, idempotency_key=key)
        return accepted_response(request, run)
    if is_streamed:
        run = await engine.accept(user, new, idempotency_key=key)
        await engine.answering(run)
        return stream_response(engine, run)
    run = await engine.answer(user, new, idempotency_key=key)
    return Response(to_json(shown(run)), media_type="application/json")


async def _wanted(
    request: Request, user: User, body: PromptRequest
) -> Sequence[Notification]:
    assert body.webhook is not None
    if not body.background:
        raise InvalidRequest.of(
            "webhook",
            "Webhooks are about runs in the background; nothing was stored. Send "
            "`background` as true, too, or leave the webhook out.",
        )
    events = [NotificationEvent.END]
    return await wanted(request, user, body.webhook, events, form=RUN)
