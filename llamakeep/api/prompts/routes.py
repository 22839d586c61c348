"""`POST /prompt/`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fastapi import Request, Response

from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.problems import ANSWERING, problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.middleware.body_limit import LARGE
from llamakeep.api.openai.messages import (
    place_of_images,
    place_of_last,
    place_of_tools,
)
from llamakeep.api.prompts.events import (
    accepted_response,
    accepts_only_events,
    stream_response,
)
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.prompts.request import PromptRequest
from llamakeep.api.prompts.schemas import PromptResponse
from llamakeep.api.webhooks.outgoing import RUN, wanted
from llamakeep.domain import NewRun, Notification, NotificationEvent, User
from llamakeep.engine.routing.prompting import MESSAGES, PREFILL
from llamakeep.errors import (
    ConversationNotFound,
    InvalidRequest,
    NoProvider,
    RunNotAnswered,
    RunNotFound,
    UnsupportedParameter,
)
from llamakeep.history.records import shown
from llamakeep.providers.base import IMAGES
from llamakeep.schemas.json_text import to_json
from llamakeep.services import services_of

router = Router(tags=["prompt"])


@router.prompts(
    "/prompt/",
    response_model=PromptResponse,
    responses=problem_responses(
        *ANSWERING, ConversationNotFound, RunNotFound, RunNotAnswered, NoProvider
    )
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

    if LARGE in request.scope:
        said = await asyncio.to_thread(body.asked)
    else:
        said = body.asked()

    async def asked() -> NewRun:
        notifications = await _wanted(request, user, body)
        return replace(said, notifications=notifications)

    new = said if body.webhook is None else asked
    key = await key_of(request, idempotency_key, body)
    try:
        if body.background:
            run = await engine.accept(user, new, idempotency_key=key)
            return accepted_response(request, run)
        if is_streamed:
            run = await engine.accept(user, new, idempotency_key=key)
            # Before it may end: the text that is not stored is the stream's alone.
            response = stream_response(engine, run)
            await engine.answering(run)
            return response
        run = await engine.answer(user, new, idempotency_key=key)
    except UnsupportedParameter as error:
        if MESSAGES in error.parameters:
            error.parameters = (place_of_tools(body.messages or ()),)
        if PREFILL in error.parameters:
            error.parameters = (place_of_last(body.messages or ()),)
        if IMAGES in error.parameters:
            place = place_of_images(body.messages) if body.messages else "images[0]"
            error.parameters = (place,)
        raise
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
