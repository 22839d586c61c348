"""A server that keeps answers itself, and is asked for them in the background."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from time import monotonic
from typing import Any

from llamakeep.errors import LlamaKeepError, ProviderError
from llamakeep.http import ConnectError, PoolTimeout, Response, TooLate
from llamakeep.providers.base import (
    DEFAULT_MODEL,
    Accepted,
    CompletionRequest,
    Event,
    may_continue,
)
from llamakeep.providers.http import read_refusal, translated_errors
from llamakeep.providers.images import data_urls
from llamakeep.providers.last_requests import LastRequests
from llamakeep.providers.openai.provider import OpenAIProvider, has_answer
from llamakeep.providers.openai.refusals import Reason
from llamakeep.providers.responses.api import ResponseEvents, ResponsesApi
from llamakeep.providers.responses.following import Following
from llamakeep.providers.responses.reading import ResponseReader, growths_of
from llamakeep.providers.responses.requests import (
    UNSUPPORTED,
    idempotency_key,
    request_body,
)

log = logging.getLogger(__name__)

_MAYBE_BEGUN = {408, 409, 425}
"""Refusals after which the same request, sent before, may be answered."""
_NO_SUCH_API = {404, 405, 501}
_RATE_LIMITED, _SERVER_ERRORS = 429, 500
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_CANCEL_TIMEOUT = 5.0


class BackgroundProvider(OpenAIProvider):
    """
    A server at a base URL that answers in the background, as OpenAI's Responses do.

    A response is created once for each request. With an `idempotency_header`, a create
    whose outcome is not known is sent again under its key. Closing an answer early
    cancels the response, in the background, unless `detach` was called. The server may
    be out of reach for `silence_timeout`. All else is as with an `OpenAIProvider`.
    """

    def __init__(
        self, base_url: str, *, idempotency_header: str | None = None, **others: Any
    ) -> None:
        super().__init__(base_url, unsupported=UNSUPPORTED, **others)
        self.is_idempotent = idempotency_header is not None
        self._key_header = idempotency_header and idempotency_header.lower()
        self._patience: float = others.get("silence_timeout", 100)
        self._responses = ResponsesApi(
            self._client,
            self._who,
            lambda response, body: self._refusal(response, body, "", what="responses"),
        )
        self._is_detached = False
        self._last_requests = LastRequests()

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Answer `request`, as `Provider.answer` says."""
        is_unwanted = asyncio.Event()
        creating = asyncio.create_task(self._created(request, is_unwanted))
        try:
            following = await asyncio.shield(creating)
        except asyncio.CancelledError:
            is_unwanted.set()
            self._last_requests.send(self._stop_created(creating))
            raise
        async with aclosing(self._followed(following)) as events:
            async for event in events:
                yield event

    async def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        """Fetch an earlier answer, as `ReattachableProvider.resume` says."""
        following = self._following(request, handle)
        async with aclosing(self._followed(following)) as events:
            async for event in events:
                yield event

    async def embed(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Make vectors, which no server keeps, as `Embedder.embed` says."""
        try:
            async with aclosing(super().embed(request)) as events:
                async for event in events:
                    yield event
        except ProviderError as error:
            error.nothing_paid = error.nothing_paid or not error.was_connected
            raise

    async def cancel(self, handle: str) -> None:
        """Cancel a response; one that has ended stays as it is."""
        await self._responses.cancel(handle)

    def detach(self) -> None:
        """
        Let responses continue from now on when their answers are closed.

        For a server that stops: the next one resumes them.
        """
        self._is_detached = True

    async def close(self) -> None:
        """Close all connections, after the cancels that are being sent."""
        await self._last_requests.close()
        await super().close()

    async def _created(
        self, request: CompletionRequest, is_unwanted: asyncio.Event
    ) -> Following:
        """Create a response, again and again where that finds the same one."""
        if request.model == DEFAULT_MODEL:
            request = replace(request, model=await self.default_model())
        body = request_body(request, await data_urls(request))
        until, pause = monotonic() + self._patience, _FIRST_PAUSE
        while True:
            try:
                return await self._create(request, body)
            except ProviderError as error:
                is_passing = error.answer_may_exist and self.is_idempotent
                # Where it is late, another server may have the run.
                is_late = isinstance(error.__cause__, TooLate)
                is_given_up = is_unwanted.is_set() or monotonic() > until
                if not is_passing or is_late or is_given_up:
                    raise
                log.info("run %s: %s It is asked again.", request.run_id, error.detail)
                wait = max(pause, error.retry_after or 0)
            request = replace(request, may_be_begun=True)
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _create(
        self, request: CompletionRequest, body: dict[str, Any]
    ) -> Following:
        """
        Create a response, and return it when its id is known.

        Raises:
            LlamaKeepError: If `answer_may_exist`, there may be a response.
        """
        stack = AsyncExitStack()
        try:
            response = await self._posted(request, body, stack)
            if not has_answer(response.status):
                refused = await read_refusal(response)
                raise self._refused(request, response, refused)  # noqa: TRY301 - leaves
            events = ResponseEvents(response, stack)
            following = self._following(request, events=events)
            await following.begin()
        except BaseException:
            await stack.aclose()
            raise
        return following

    async def _posted(
        self, request: CompletionRequest, body: dict[str, Any], stack: AsyncExitStack
    ) -> Response:
        headers = {}
        if self._key_header is not None:
            headers[self._key_header] = idempotency_key(request)
        try:
            with translated_errors(self._who):
                post = self._client.send(
                    "POST",
                    "/responses",
                    headers=headers,
                    json=body,
                    keep_alive=self._keep_alive,
                    is_late=request.is_late,
                )
                return await stack.enter_async_context(post)
        except ProviderError as error:
            _mark_unsent(error, request)
            raise

    def _refused(
        self, request: CompletionRequest, response: Response, body: Any
    ) -> LlamaKeepError:
        """Return the error of a refusal to create a response."""
        status = response.status
        reason = Reason.read(body, self._api_key)
        self._known.note_refusal(request, status, reason)
        error = self._refusal(response, body, request.model, what="responses")
        if type(error) is ProviderError and status in _NO_SUCH_API:
            error.detail += " If it has no Responses API, remove `background`."
        if request.may_be_begun:
            error.nothing_paid = False
        if isinstance(error, ProviderError) and not error.nothing_paid:
            error.answer_may_exist = (
                status >= _SERVER_ERRORS
                or status in _MAYBE_BEGUN
                or (status == _RATE_LIMITED and request.may_be_begun)
            )
        return error

    def _following(
        self,
        request: CompletionRequest,
        handle: str | None = None,
        events: ResponseEvents | None = None,
    ) -> Following:
        reader = ResponseReader(
            self._who,
            model=request.model,
            secret=self._api_key,
            run_id=request.run_id,
            has_logprobs=bool(request.parameters.logprobs),
        )
        return Following(
            self._responses,
            reader,
            handle,
            events,
            who=self._who,
            patience=self._patience,
        )

    async def _followed(self, following: Following) -> AsyncGenerator[Event, None]:
        reader = following.reader
        try:
            said = await following.find()
            yield Accepted(
                reader.resolved_model, handle=reader.id, is_whole=reader.is_over
            )
            for growth in growths_of(said):
                yield growth
                await asyncio.sleep(0)  # others have their turn
            async with aclosing(following.growths()) as growths:
                async for growth in growths:
                    yield growth
            finished = reader.finished()
        except LlamaKeepError as error:
            if not (reader.is_over or may_continue(error)):
                self._last_requests.send(self._stop(following))
            raise
        except BaseException:  # closed or canceled
            if not (reader.is_over or self._is_detached):
                self._last_requests.send(self._stop(following))
            raise
        finally:
            await following.close()
        yield finished

    async def _stop_created(self, creating: asyncio.Task[Following]) -> None:
        with suppress(LlamaKeepError):
            following = await creating
            await following.close()
            # Without its id, the next server finds it by its key, or not at all.
            is_left = self._is_detached and self.is_idempotent
            if not (following.reader.is_over or is_left):
                await self._stop(following)

    async def _stop(self, following: Following) -> None:
        if (handle := following.handle) is None:
            return
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await self._responses.cancel(handle)
        except (LlamaKeepError, TimeoutError) as error:
            log.warning(
                "could not cancel response %s; it keeps running: %s", handle, error
            )


def _mark_unsent(error: ProviderError, request: CompletionRequest) -> None:
    """Say of a request without a response whether it may have been received."""
    cause = error.__cause__
    error.was_tried = not isinstance(cause, TooLate | PoolTimeout)
    is_unsent = isinstance(cause, ConnectError) and not isinstance(cause, TooLate)
    error.answer_may_exist = request.may_be_begun or not is_unsent
    error.nothing_paid = not error.answer_may_exist
