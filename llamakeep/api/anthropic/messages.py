"""Routes of the Messages API."""

import asyncio

from fastapi import Request, Response

from llamakeep.api.anthropic.errors import COUNTING_ERRORS, MESSAGE_ERRORS
from llamakeep.api.anthropic.events import events
from llamakeep.api.anthropic.rendering import whole
from llamakeep.api.anthropic.request import CountRequest, MessageRequest
from llamakeep.api.anthropic.wire import json_response, stream_headers
from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.links import prefix_of
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.middleware.body_limit import LARGE
from llamakeep.api.openai.messages import place_of_last
from llamakeep.api.prompts.canceling import CancelOnDisconnect, Stream
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.prompts.submission import let_go
from llamakeep.domain import Run, User
from llamakeep.engine.routing.prompting import PREFILL
from llamakeep.errors import UnsupportedParameter
from llamakeep.logs.context import request_id
from llamakeep.services import services_of
from llamakeep.storage.runs.long_texts import outline_of

_NAMES = {
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
}
"""What other parameters are called in Anthropic's API."""

router = Router(prefix="/v1/messages", tags=["anthropic"], queries=Queries.VENDORS)


@router.prompts(
    "",
    response_class=Response,
    responses=MESSAGE_ERRORS
    | {
        200: {
            "description": "A `message`; with `stream`, its events.",
            "content": {"application/json": {}, "text/event-stream": {}},
        }
    },
)
async def create(
    body: MessageRequest,
    request: Request,
    user: PromptingUser,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """
    Create a message, as with Anthropic's API.

    Closing the connection cancels the run, unless the request had an `Idempotency-Key`;
    the prompt and the text so far stay in the history.
    """
    engine = services_of(request).engine
    run = await _ask(body, request, user, idempotency_key)
    if LARGE in request.scope:
        let_go(request)
        body.messages = []
    leaving = CancelOnDisconnect(
        engine, user, run, may_come_back=idempotency_key is not None
    )
    with leaving.watched(request.receive):
        if not body.stream:
            return json_response(whole(await engine.result(run), body.shown))
        # Before it may end: the text that is not stored is the stream's alone.
        updates = engine.follow(run)
        await engine.answering(run)
    if run.status.is_final:
        run = outline_of(run)
    own_id = request_id()
    stream = events(
        updates,
        run,
        leaving,
        shown=body.shown,
        prefix=prefix_of(request),
        request_id=own_id,
    )
    return Stream(stream, leaving, headers=stream_headers(own_id))


@router.post("/count_tokens", response_class=Response, responses=COUNTING_ERRORS)
async def count_tokens(
    body: CountRequest, request: Request, user: PromptingUser
) -> Response:
    """Count the tokens of a message, where the model's provider can; keep nothing."""
    engine = services_of(request).engine
    try:
        count = await engine.count_tokens(user, body.asked())
    except UnsupportedParameter as error:
        raise _as_sent(error, body) from None
    return json_response({"input_tokens": count})


async def _ask(
    body: MessageRequest, request: Request, user: User, idempotency_key: str | None
) -> Run:
    key = await key_of(request, idempotency_key, body)
    # Images may be large.
    is_large = LARGE in request.scope
    asked = await asyncio.to_thread(body.asked) if is_large else body.asked()
    try:
        return await services_of(request).engine.accept(
            user,
            asked,
            idempotency_key=key,
            is_followed=bool(body.stream),
        )
    except UnsupportedParameter as error:
        raise _as_sent(error, body) from None


def _as_sent(error: UnsupportedParameter, body: CountRequest) -> UnsupportedParameter:
    """Return an error that names parameters as the client does."""
    has_effort = body.output_config is not None and body.output_config.effort
    names = _NAMES | {
        "reasoning_effort": "output_config.effort" if has_effort else "thinking"
    }
    detail = error.detail
    for name in names.keys() & error.parameters:
        detail = detail.replace(name, names[name])
    if PREFILL in error.parameters:
        detail = f"{place_of_last(body.messages, 'messages.{}.role')}: {detail}"
    return UnsupportedParameter(detail, parameters=error.parameters)
