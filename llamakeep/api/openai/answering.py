"""
Running a completion for OpenAI's API, and canceling it when the client disconnects.

Clients stop a completion by closing the connection. A client that sent an
`Idempotency-Key` may reconnect with it, so then the run continues.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from llamakeep.api.http import sse
from llamakeep.api.http.links import prefix_of
from llamakeep.api.http.streaming import Streaming
from llamakeep.api.openai.errors import error_of
from llamakeep.api.openai.forms import ResponseFormat
from llamakeep.api.openai.parameters import CompletionRequest
from llamakeep.api.openai.wire import json_response, stream_headers
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.domain import Run, User
from llamakeep.engine import (
    Delta,
    Ended,
    Engine,
    ItemDelta,
    NextItem,
    Reset,
    Silence,
    Update,
)
from llamakeep.engine.engine import raise_for_status
from llamakeep.errors import LlamaKeepError, RunInterrupted
from llamakeep.schemas.json_text import to_json
from llamakeep.services import services_of
from llamakeep.storage.runs.long_texts import outline_of

WATCHED_AFTER = 0.05
"""Seconds after which a task watches for the client's disconnect."""

DONE = sse.encode(b"[DONE]")

log = logging.getLogger(__name__)


class CancelOnDisconnect:
    """Cancels a run when its client disconnects, unless it `may_come_back`."""

    def __init__(
        self, engine: Engine, user: User, run: Run, *, may_come_back: bool
    ) -> None:
        self._engine = engine
        self._user = user
        self._run_id = run.id
        self.is_watching = not may_come_back

    async def left(self) -> None:
        """Cancel the run; its text so far is kept."""
        # A server that stops closes connections itself, and resumes the run later.
        if not self.is_watching or self._engine.is_stopping:
            return
        try:
            await self._engine.cancel(self._user, self._run_id)
        except LlamaKeepError as error:
            log.warning(
                "could not cancel run %s; it keeps running: %s",
                self._run_id,
                error.detail,
            )
        # Only now: if this task is canceled above, the next call has to cancel the run.
        self.is_watching = False

    def watched(self, receive: Receive) -> "_WatchedReceive":
        """Return a context in which the client's disconnect cancels the run."""
        return _WatchedReceive(self, receive)


class _WatchedReceive:
    """
    A context that watches for the client's disconnect.

    It starts a task only after a while, since many responses are ready before.
    """

    def __init__(self, leaving: CancelOnDisconnect, receive: Receive) -> None:
        self._leaving = leaving
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        if self._leaving.is_watching:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WATCHED_AFTER, self._begin)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        await self._leaving.left()


class Stream(Streaming):
    """A stream of events that cancels the run when the client disconnects."""

    def __init__(
        self, events: AsyncIterator[bytes], leaving: CancelOnDisconnect
    ) -> None:
        super().__init__(events, headers=stream_headers())
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leaving.left()


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
    engine, is_streamed = services_of(request).engine, bool(body.stream)
    asked = body.asked()
    key = await key_of(request, idempotency_key, body, body.asked)
    run = await engine.accept(user, asked, idempotency_key=key, is_followed=is_streamed)
    may_come_back = key is not None
    leaving = CancelOnDisconnect(engine, user, run, may_come_back=may_come_back)
    form = new_form(run, includes_usage=body.includes_usage)
    if not is_streamed:
        with leaving.watched(request.receive):
            return json_response(form.whole(await engine.result(run)))
    with leaving.watched(request.receive):
        await engine.answering(run)
    if run.status.is_final:
        run = outline_of(run)
    stream = events(engine.follow(run), run, form, leaving, prefix=prefix_of(request))
    return Stream(stream, leaving)


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
                    case Delta(text):
                        yield sse.encode(to_json(form.delta(text)))
                    case NextItem() | ItemDelta():
                        yield _frames(form.item(update)) or sse.KEEP_ALIVE
                    case Silence():
                        yield sse.KEEP_ALIVE
                    case Reset():
                        raise RunInterrupted(
                            "The server had to begin the answer again, so what came so "
                            "far is not its beginning, and nothing more is sent. The "
                            "run continues, and its whole text is kept."
                        )
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
