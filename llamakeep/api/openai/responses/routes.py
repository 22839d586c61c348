"""Routes of the Responses API."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Query, Request, Response

from llamakeep import errors
from llamakeep.api.dependencies import (
    DeletingUser,
    FollowingUser,
    IdempotencyHeader,
    PromptingUser,
)
from llamakeep.api.http.links import origin_of, prefix_of
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.http.streaming import Streaming
from llamakeep.api.middleware.body_limit import LARGE
from llamakeep.api.openai.errors import (
    COMPLETION_ERRORS,
    error_responses,
)
from llamakeep.api.openai.lists import Limit, Order, page_of, runs_before
from llamakeep.api.openai.parameters import refuse_unsupported
from llamakeep.api.openai.responses.asking import (
    ask,
    asked_of,
    dereference,
    refusals_of,
)
from llamakeep.api.openai.responses.compaction import (
    CompactRequest,
    compaction_of,
    with_context,
)
from llamakeep.api.openai.responses.events import events
from llamakeep.api.openai.responses.items import items_read, with_origin
from llamakeep.api.openai.responses.numbers import NOTHING_SEEN
from llamakeep.api.openai.responses.rendering import RESPONSE, response_of
from llamakeep.api.openai.responses.request import (
    ResponseRequest,
    refuse_includes,
)
from llamakeep.api.openai.wire import json_response
from llamakeep.api.prompts.canceling import CancelOnDisconnect, Stream
from llamakeep.api.prompts.events import HEADERS
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.prompts.ids import run_id_of
from llamakeep.api.prompts.reading import invalid
from llamakeep.api.prompts.submission import let_go
from llamakeep.domain import NewRun, Run, User
from llamakeep.engine.refusals import check_is_kept
from llamakeep.errors import (
    RunCanceled,
    RunNotFound,
)
from llamakeep.services import services_of
from llamakeep.storage import Storage
from llamakeep.storage.runs.long_texts import outline_of

router = Router(prefix="/v1/responses", tags=["openai"], queries=Queries.VENDORS)

Included = Annotated[list[str] | None, Query(include_in_schema=False)]
IncludedInBrackets = Annotated[
    list[str] | None, Query(alias="include[]", include_in_schema=False)
]
"""The spelling of OpenAI's libraries."""

_errors = error_responses(
    errors.Unauthenticated, errors.ScopeMissing, errors.RunNotFound
)
_invalid = error_responses(errors.InvalidRequest)
_sent: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A `response`; with `stream`, its events.",
        "content": {"application/json": {}, "text/event-stream": {}},
    }
}


@router.prompts(
    "",
    response_class=Response,
    responses=COMPLETION_ERRORS | error_responses(errors.ConversationNotFound) | _sent,
)
async def create(
    body: ResponseRequest,
    request: Request,
    user: PromptingUser,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """
    Create a response, as with OpenAI's API.

    Without `background`, closing the connection cancels the run, unless the request had
    an `Idempotency-Key`. The prompt and the text so far are kept.
    """
    engine = services_of(request).engine
    run = await ask(body, request, user, idempotency_key)
    if LARGE in request.scope:
        let_go(request)
        body.input = None
    if body.background:
        if body.stream:
            return _stream(events(engine, _outlined(run), prefix=prefix_of(request)))
        return json_response(response_of(run))
    leaving = CancelOnDisconnect(
        engine, user, run, may_come_back=idempotency_key is not None
    )
    with leaving.watched(request.receive):
        if not body.stream:
            run = await _result(request, user, run)
            return json_response(response_of(run))
        # Before it may end: the text that is not stored is the stream's alone.
        updates = engine.follow(run)
        await engine.answering(run)
    prefix, outline = prefix_of(request), _outlined(run)
    stream = events(engine, outline, prefix=prefix, leaving=leaving, updates=updates)
    return Stream(stream, leaving, headers=HEADERS)


@router.post(
    "/input_tokens",
    response_class=Response,
    responses=COMPLETION_ERRORS | error_responses(errors.ConversationNotFound),
)
async def input_tokens(
    body: ResponseRequest, request: Request, user: PromptingUser
) -> Response:
    """Count the tokens of a prompt, where the model's provider can; keep nothing."""
    services = services_of(request)
    with refusals_of(body):
        await dereference(body, request, user)
        asked = await asked_of(body, request)
        count = await services.engine.count_tokens(user, asked)
    return json_response({"object": "response.input_tokens", "input_tokens": count})


@router.prompts(
    "/compact",
    response_class=Response,
    responses=COMPLETION_ERRORS
    | {
        200: {
            "description": "A `response.compaction`.",
            "content": {"application/json": {}},
        }
    },
)
async def compact(
    body: CompactRequest,
    request: Request,
    user: PromptingUser,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """
    Shorten a conversation to its user messages and a summary that the model makes.

    What the model is asked for it is a run as any prompt. Closing the connection
    cancels it, unless the request had an `Idempotency-Key`.
    """
    services = services_of(request)
    engine, wanted = services.engine, body.summary_request()

    async def asked() -> NewRun:
        await dereference(wanted, request, user)
        return await with_context(await asked_of(wanted, request), services, user)

    with refusals_of(wanted):
        run = await engine.accept(
            user,
            asked,
            idempotency_key=await key_of(request, idempotency_key, body),
            is_followed=False,
        )
    if LARGE in request.scope:
        let_go(request)
        body.input = wanted.input = None
    leaving = CancelOnDisconnect(
        engine, user, run, may_come_back=idempotency_key is not None
    )
    with leaving.watched(request.receive):
        answered = await engine.result(run)
    return json_response(compaction_of(run, answered, origin_of(request)))


@router.get(
    "/{response_id}",
    response_class=Response,
    responses=_errors | _invalid | _sent,
)
async def retrieve(
    response_id: str,
    request: Request,
    user: FollowingUser,
    *,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0)] = None,
    include: Included = None,
    include_brackets: IncludedInBrackets = None,
    include_obfuscation: Annotated[str | None, Query(include_in_schema=False)] = None,
) -> Response:
    """
    Return a response, or stream its events; any run of the history is one.

    With `stream`, its events are sent from the first one, or from the one after the
    `sequence_number` that `starting_after` names.
    """
    refuse_more(include, include_brackets, include_obfuscation)
    if starting_after is not None and not stream:
        raise invalid("starting_after", "It means something only with `stream=true`.")
    if not stream:
        return json_response(response_of(await _find(request, user, response_id)))
    services = services_of(request)
    with services.readers.beginning(user.id) as end:
        storage = services.storage
        with _named(response_id) as run_id:
            run = await storage.outline(user, run_id)
        check_is_kept(run)
        length = None
        if starting_after is not None and run.status.is_final:
            run, length = await _sized(storage, user, run, starting_after)
        after = NOTHING_SEEN if starting_after is None else starting_after
        engine, prefix = services.engine, prefix_of(request)
        frames = events(engine, run, prefix=prefix, after=after, length=length)
        return _stream(frames, end)


@router.post("/{response_id}/cancel", response_class=Response, responses=_errors)
async def cancel(response_id: str, request: Request, user: PromptingUser) -> Response:
    """Stop a response, and keep its text so far. One that has ended stays as it is."""
    with _named(response_id) as run_id:
        run = await services_of(request).engine.cancel(user, run_id)
    return json_response(response_of(run))


@router.delete("/{response_id}", response_class=Response, responses=_errors | _invalid)
async def delete(response_id: str, request: Request, user: DeletingUser) -> Response:
    """Delete a response permanently. An unfinished one is stopped first."""
    with _named(response_id) as run_id:
        await services_of(request).engine.delete(user, run_id)
    return json_response({"id": response_id, "object": "response", "deleted": True})


@router.get(
    "/{response_id}/input_items",
    response_class=Response,
    responses=_errors | _invalid,
)
async def input_items(
    response_id: str,
    request: Request,
    user: FollowingUser,
    *,
    limit: Limit = 20,
    order: Order = "desc",
    after: Annotated[str | None, Query(max_length=64)] = None,
    include: Included = None,
    include_brackets: IncludedInBrackets = None,
) -> Response:
    """List the messages that the model got for a response, with prior ones."""
    refuse_more(include, include_brackets)
    run = await _find(request, user, response_id)
    prior = await runs_before(request, user, run)
    page = page_of(
        list(items_read(run, prior)),
        order=order,
        after=after,
        limit=limit,
        unknown="It is the id of no item of this response.",
    )
    origin = origin_of(request)
    page["data"] = [with_origin(item, origin) for item in page["data"]]
    return json_response(page)


async def _result(request: Request, user: User, run: Run) -> Run:
    """Wait until `run` has ended; a canceled run is returned as well."""
    services = services_of(request)
    try:
        return await services.engine.result(run)
    except RunCanceled:
        return await services.storage.get_run(user, run.id)


async def _find(request: Request, user: User, response_id: str) -> Run:
    with _named(response_id) as run_id:
        return await services_of(request).storage.get_run(user, run_id)


@contextmanager
def _named(response_id: str) -> Iterator[str]:
    """Yield the id of a response's run."""
    try:
        yield run_id_of(response_id, RESPONSE)
    except RunNotFound:
        raise RunNotFound(
            f"There is no response {response_id[:64]!a} in your history."
        ) from None


def refuse_more(
    include: list[str] | None,
    include_brackets: list[str] | None,
    include_obfuscation: str | None = None,
) -> None:
    """Refuse requests for additional output that this server does not have."""
    refuse_includes([*(include or ()), *(include_brackets or ())])
    refuse_unsupported(
        {"include_obfuscation": include_obfuscation},
        only={"include_obfuscation": ("false",)},
    )


async def _sized(storage: Storage, user: User, run: Run, most: int) -> tuple[Run, int]:
    """Return a finished run with its items, and its text's length up to `most`."""
    if (await storage.progress(run, after=0)).has_items:
        run = await storage.get_run(user, run.id)
    return run, (await storage.place_in_text(run, most)).offset


def _outlined(run: Run) -> Run:
    return outline_of(run) if run.status.is_final else run


def _stream(
    frames: AsyncIterator[bytes], end: Callable[[], None] | None = None
) -> Response:
    """Respond with events; a disconnect does not cancel the run."""
    return Streaming(frames, end=end, headers=HEADERS)
