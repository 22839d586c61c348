"""Running a completion for OpenAI's API."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response

from llamakeep.api.http import sse
from llamakeep.api.http.links import prefix_of
from llamakeep.api.middleware.body_limit import LARGE
from llamakeep.api.openai import choices
from llamakeep.api.openai.errors import error_of
from llamakeep.api.openai.forms import ResponseFormat
from llamakeep.api.openai.parameters import CompletionRequest
from llamakeep.api.openai.wire import DONE, json_response
from llamakeep.api.prompts.canceling import CancelOnDisconnect, Stream
from llamakeep.api.prompts.events import HEADERS
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.prompts.submission import let_go
from llamakeep.domain import Run, User
from llamakeep.engine import (
    Delta,
    Ended,
    ItemDelta,
    NextItem,
    Reset,
    Silence,
    Update,
)
from llamakeep.engine.refusals import begun_anew, raise_for_status
from llamakeep.errors import LlamaKeepError
from llamakeep.schemas.json_text import to_json
from llamakeep.services import services_of
from llamakeep.storage.runs.long_texts import outline_of


async def answer(
    request: Request,
    user: User,
    body: CompletionRequest,
    new_form: Callable[..., ResponseFormat],
    idempotency_key: str | None,
) -> Response:
    """
    Run a prompt, and respond with its completion.

    Raises:
        LlamaKeepError: The prompt is refused, or fails before its first text.
    """
    services = services_of(request)
    engine, is_streamed = services.engine, bool(body.stream)
    extra = services.registry.extra_names
    if LARGE in request.scope:
        asked = await asyncio.to_thread(body.asked, extra)
    else:
        asked = body.asked(extra)
    key = await key_of(request, idempotency_key, body, body.asked)
    if (several := body.several(asked)) is not None:
        runs = await choices.accepted(
            engine, user, several, key, is_followed=is_streamed
        )
        may_come_back = key is not None
        leaving = CancelOnDisconnect(engine, user, *runs, may_come_back=may_come_back)
        forms = [new_form(runs[0], includes_usage=body.includes_usage) for _ in runs]
        if not is_streamed:
            return await choices.answer_whole(engine, runs, forms[0], leaving, request)
        return await choices.answer_streamed(engine, runs, forms, leaving, request)
    run = await engine.accept(user, asked, idempotency_key=key, is_followed=is_streamed)
    del asked
    if LARGE in request.scope:
        let_go(request)
        body.let_go()
    may_come_back = key is not None
    leaving = CancelOnDisconnect(engine, user, run, may_come_back=may_come_back)
    form = new_form(run, includes_usage=body.includes_usage)
    if not is_streamed:
        with leaving.watched(request.receive):
            return json_response(form.whole(await engine.result(run)))
    # Before it may end: the text that is not stored is the stream's alone.
    updates = engine.follow(run)
    with leaving.watched(request.receive):
        await engine.answering(run)
    if run.status.is_final:
        run = outline_of(run)
    stream = events(updates, run, form, leaving, prefix=prefix_of(request))
    return Stream(stream, leaving, headers=HEADERS)


async def events(
    updates: AsyncGenerator[Update, None],
    run: Run,
    form: ResponseFormat,
    leaving: CancelOnDisconnect,
    *,
    prefix: str,
) -> AsyncIterator[bytes]:
    """Yield the encoded events of `run` until its end or an error."""
    for one in form.first():
        yield sse.encode(to_json(one))
    try:
        async with aclosing(updates):
            async for update in updates:
                match update:
                    case Delta(text, _, logprobs):
                        yield sse.encode(to_json(form.delta(text, logprobs)))
                    case NextItem() | ItemDelta():
                        yield _frames(form.item(update)) or sse.KEEP_ALIVE
                    case Silence():
                        yield sse.KEEP_ALIVE
                    case Reset():
                        raise begun_anew()
                    case Ended(ended):
                        leaving.is_watching = False
                        raise_for_status(ended)
                        for one in form.last(ended):
                            yield sse.encode(to_json(one))
                        yield DONE
    except LlamaKeepError as error:
        leaving.is_watching = False
        error.run_id = run.id
        yield sse.encode(to_json(error_of(error, prefix)))


def _frames(events: Iterator[dict[str, Any]]) -> bytes:
    return b"".join([sse.encode(to_json(one)) for one in events])
