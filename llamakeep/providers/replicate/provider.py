"""Replicate as a provider: predictions that are created once, and never lost."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from llamakeep.domain import Price
from llamakeep.errors import (
    ImageNotFound,
    LlamaKeepError,
    ModelNotFound,
    PromptRejected,
    ProviderError,
    UnsupportedParameter,
)
from llamakeep.http import MOST_CONNECTIONS
from llamakeep.providers.base import (
    Accepted,
    Candidate,
    CompletionRequest,
    Event,
    Finished,
    may_continue,
)
from llamakeep.providers.images import data_urls
from llamakeep.providers.last_requests import LastRequests
from llamakeep.providers.prompted.format import json_checked
from llamakeep.providers.prompted.tools import calls_read
from llamakeep.providers.replicate.api import ReplicateApi
from llamakeep.providers.replicate.errors import hit_the_limit
from llamakeep.providers.replicate.following import Following
from llamakeep.providers.replicate.input_schema import UNKNOWN, InputSchema
from llamakeep.providers.replicate.inputs import build_input
from llamakeep.providers.replicate.models import Models
from llamakeep.providers.replicate.outputs import output_read
from llamakeep.providers.replicate.predictions import Prediction
from llamakeep.providers.replicate.webhooks import WebhookSecret

log = logging.getLogger(__name__)

DEFAULT_MODEL = "meta/llama-4-maverick-instruct"
_MAX_WAIT = 60
_MIN_CANCEL_AFTER, _MAX_CANCEL_AFTER = 5, 24 * 3600
_GRACE = 10.0
_CANCEL_TIMEOUT = 5.0


class ReplicateProvider(Models):
    """
    Replicate, or whatever speaks its HTTP API at `base_url`.

    A prediction is created once for each request. Closing its answer early cancels it
    there, in the background, unless `detach` was called. It says at `webhook_url` when
    a prediction begins and ends; the run and its attempt are added to the query, which
    marks it as theirs. Without `webhook_secret`, it is asked what it signs that with.
    It cancels a prediction after `run_timeout` seconds, and may be out of reach for
    `silence_timeout`.
    """

    name = "replicate"
    is_free = False
    is_idempotent = False

    def __init__(
        self,
        api_token: str,
        *,
        base_url: str = "https://api.replicate.com",
        default_model: str = DEFAULT_MODEL,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        run_timeout: float = 600,
        connect_timeout: float = 5,
        silence_timeout: float = 100,
        most_connections: int = MOST_CONNECTIONS,
        prompted_tools: bool = True,
        name: str = "replicate",
        prices: Mapping[str, Price] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self._webhook_url = webhook_url
        self.marks_answers = webhook_url is not None
        longest = min(ceil(run_timeout), _MAX_CANCEL_AFTER)
        self._cancel_after = max(longest, _MIN_CANCEL_AFTER)
        self._patience = silence_timeout
        self._api = ReplicateApi(
            base_url,
            api_token,
            connect_timeout=connect_timeout,
            silence_timeout=silence_timeout,
            most_connections=most_connections,
        )
        super().__init__(
            self._api, default_model, is_prompting=prompted_tools, prices=prices
        )
        self.webhook_secret = WebhookSecret(self._api, webhook_secret)
        self._is_detached = False
        self._last_requests = LastRequests()
        self._followed: dict[str, Following] = {}

    def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Answer `request`, as `Provider.answer` says."""
        return _read(request, self._answer(request))

    async def _answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        schema = await self._schemas.schema(request.model)
        wait = 0 if request.is_followed else self._longest_wait()
        urls = await data_urls(request)
        given = build_input(request, schema, urls)
        creating = asyncio.create_task(self._create(request, given, schema, wait))
        del urls, given  # an answer may take long
        try:
            created = await asyncio.shield(creating)
        except asyncio.CancelledError:
            self._last_requests.send(self._stop_created(creating))
            raise
        # Recorded so: what has ended while it was waited for still says `processing`.
        is_whole = bool(wait) and created.text is not None and not created.is_final
        if created.status == "succeeded" and not created.is_measured:
            with suppress(LlamaKeepError):
                looked = await self._api.get(created.id)
                created = replace(created, usage=looked.usage)
        limit = schema.max_tokens(request.parameters)
        if created.status == "succeeded" and created.text and not schema.output_fields:
            yield _accepted(created)
            yield created.text
            yield _finished(created, limit)
            return
        following = self._following(created.id, schema, created, is_whole=is_whole)
        async with aclosing(self._said(request, schema, following)) as told:
            async for event in told:
                yield event

    def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        """Fetch an earlier answer, as `ReattachableProvider.resume` says."""
        return _read(request, self._resume(request, handle))

    async def _resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        schema = await self._schemas.schema(request.model)
        following = self._following(handle, schema)
        async with aclosing(self._said(request, schema, following)) as told:
            async for event in told:
                yield event

    async def find(
        self, request: CompletionRequest, *, within: timedelta
    ) -> Sequence[Candidate]:
        """Return predictions that may be this run's, oldest first."""
        given = await self._inputs(request)
        ours: list[Candidate] = []
        alike: list[Candidate] = []
        async with aclosing(self._api.list_recent(within)) as listed:
            async for each in listed:
                if each.status in {"canceled", "aborted"}:
                    continue  # by a server that could not know who would look for it
                if "run" in each.webhook:
                    if _is_marked(each, request):
                        ours.append(Candidate(each.id, is_proven=True))
                elif (
                    each.source in {"api", None}
                    and each.input in given
                    and _is_of(each, request.model)
                ):
                    alike.append(Candidate(each.id, is_proven=False))
        return (ours or alike)[::-1]

    async def _inputs(self, request: CompletionRequest) -> Sequence[dict[str, Any]]:
        """
        Return what an earlier attempt may have sent.

        It may not have known the model's fields.

        Raises:
            ProviderError: Replicate does not say which fields the model has.
        """
        schema = await self._schemas.schema(request.model)
        if not schema.is_known:
            with suppress(ModelNotFound, PromptRejected):
                schema = await self._schemas.fetch(request.model)
        inputs = []
        with suppress(ImageNotFound):
            urls = await data_urls(request)
            for known in (schema, UNKNOWN):
                with suppress(UnsupportedParameter):
                    inputs.append(build_input(request, known, urls))
        return inputs

    def now(self) -> datetime | None:
        """Return the time at Replicate, as its last response told it."""
        return self._api.clock.now()

    async def is_proven(self, request: CompletionRequest, handle: str) -> bool:
        """Return whether the prediction's webhook names this run."""
        return _is_marked(await self._api.get(handle), request)

    def hint(self, handle: str) -> None:
        """Ask for a prediction now that is asked for every now and then."""
        if (following := self._followed.get(handle)) is not None:
            following.hint()

    async def cancel(self, handle: str) -> None:
        """Cancel a prediction; one that has ended stays as it is."""
        await self._api.cancel(handle)

    def detach(self) -> None:
        """
        Let predictions continue from now on when their answers are closed.

        For a server that stops: the next one resumes them.
        """
        self._is_detached = True

    async def warm_up(self) -> None:
        """Find out whether Replicate accepts the API token and has the model."""
        try:
            await self._schemas.fetch(self._default_model)
        except (ModelNotFound, PromptRejected) as error:
            raise ProviderError(error.detail) from error

    async def close(self) -> None:
        """Close all connections, after the cancels that are being sent."""
        await self._last_requests.close()
        await self.stop_asking()
        await self._api.close()

    def _longest_wait(self) -> int:
        return max(0, min(_MAX_WAIT, int(self._patience) - 1))

    async def _create(
        self,
        request: CompletionRequest,
        given: dict[str, Any],
        schema: InputSchema,
        wait: int,
    ) -> Prediction:
        body: dict[str, Any] = {"input": given}
        if self._webhook_url is not None:
            query = urlencode({"run": request.run_id, "attempt": request.attempt})
            joint = "&" if "?" in self._webhook_url else "?"
            body["webhook"] = f"{self._webhook_url}{joint}{query}"
            body["webhook_events_filter"] = ["start", "completed"]
        version = schema.version
        if "/" not in request.model or ":" in request.model:
            version = request.model.rpartition(":")[2]
        return await self._api.create(
            request.model,
            version,
            body,
            wait=wait,
            cancel_after=self._cancel_after,
            is_late=request.is_late,
        )

    def _following(
        self,
        prediction_id: str,
        schema: InputSchema,
        prediction: Prediction | None = None,
        *,
        is_whole: bool = False,
    ) -> Following:
        return Following(
            self._api,
            prediction_id,
            prediction,
            is_whole=is_whole,
            is_object=bool(schema.output_fields),
            budget=self._cancel_after + _GRACE,
            patience=self._patience,
        )

    def _said(
        self, request: CompletionRequest, schema: InputSchema, following: Following
    ) -> AsyncGenerator[Event, None]:
        events = self._follow(following, schema.max_tokens(request.parameters))
        if schema.output_fields:
            return output_read(request.run_id, schema.output_fields, events)
        return events

    async def _follow(
        self, following: Following, limit: int | None
    ) -> AsyncGenerator[Event, None]:
        handle = following.prediction_id
        self._followed[handle] = following
        try:
            await following.find()
            yield _accepted(following.prediction)
            async with aclosing(following.texts()) as texts:
                async for text in texts:
                    yield text
        except LlamaKeepError as error:
            if not (following.has_ended or may_continue(error)):
                self._last_requests.send(self._stop(handle))
            raise
        except BaseException:  # closed or canceled
            if not (following.has_ended or self._is_detached):
                self._last_requests.send(self._stop(handle))
            raise
        finally:
            self._followed.pop(handle, None)
        yield _finished(following.prediction, limit)

    async def _stop_created(self, creating: asyncio.Task[Prediction]) -> None:
        with suppress(LlamaKeepError):
            created = await creating
            if not (created.is_final or self._is_detached):
                await self._stop(created.id)

    async def _stop(self, prediction_id: str) -> None:
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await self._api.cancel(prediction_id)
        except (LlamaKeepError, TimeoutError) as error:
            log.warning(
                "could not cancel prediction %s; it keeps running: %s",
                prediction_id,
                error,
            )


def _read(
    request: CompletionRequest, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Event, None]:
    parameters = request.parameters
    if parameters.tools:
        events = calls_read(request, events)
    if parameters.prompted_format and parameters.response_format is not None:
        last = request.messages[-1]
        begun = last.content if last.role == "assistant" else ""
        events = json_checked(parameters.response_format, events, begun=begun)
    return events


def _accepted(prediction: Prediction) -> Accepted:
    return Accepted(
        prediction.resolved_model, handle=prediction.id, is_whole=prediction.is_final
    )


def _finished(prediction: Prediction, limit: int | None) -> Finished:
    usage = prediction.usage
    said = usage.output_tokens
    # Replicate does not say why it stopped.
    is_cut = limit is not None and said is not None and said >= limit
    return Finished(
        "length" if is_cut or hit_the_limit(prediction) else "stop",
        usage,
        prediction.resolved_model,
    )


def _is_marked(prediction: Prediction, request: CompletionRequest) -> bool:
    return request.run_id in prediction.webhook.get("run", ())


def _is_of(prediction: Prediction, model: str) -> bool:
    name, _, version = model.rpartition(":")
    if name or "/" not in model:
        return prediction.version == version
    return prediction.model == model
