"""The spans of a run, and of each call of its provider; never what is in them."""

import time
from asyncio import CancelledError
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from llamakeep.domain import Run, RunStatus
from llamakeep.domain.ids import number_of
from llamakeep.errors import LlamaKeepError
from llamakeep.http.tracing import TRACEPARENT
from llamakeep.providers.base import (
    Accepted,
    CompletionRequest,
    Event,
    Finished,
    ItemBegun,
)
from llamakeep.tracing.spans import ROOT

if TYPE_CHECKING:
    from llamakeep.tracing.tracer import Tracer

_SAMPLING = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
)
"""Parameters that are numbers."""

_FAILED = {RunStatus.FAILED, RunStatus.EXPIRED, RunStatus.INTERRUPTED}


class RunTrace:
    """
    The span of a run in this process, from its start to its end here.

    It is below the request that began the run. A run that was left by another process
    has no such request: its trace is the one that the other process's is by default,
    since a trace that no client begins has the run's id.
    """

    def __init__(self, tracer: "Tracer", run: Run, *, is_left: bool) -> None:
        root = None if is_left else ROOT.get()
        self._tracer = tracer
        self._span = (
            tracer.begin_trace(trace_id=number_of(run.id))
            if root is None
            else tracer.begin(root(run.id))
        )
        self._is_left = is_left

    def end(self, run: Run) -> None:
        """End the span; if the run is not over, another process continues it."""
        if not self._span.is_sampled:
            return
        attributes: dict[str, Any] = {
            "llamakeep.run.id": run.id,
            "llamakeep.run.status": run.status.value,
            "llamakeep.run.attempt": run.attempt,
            "llamakeep.run.taken_over": self._is_left,
            "llamakeep.source": run.source,
        }
        if run.conversation_id is not None:
            attributes["gen_ai.conversation.id"] = run.conversation_id
        is_failed = run.status in _FAILED
        if is_failed and run.error_code is not None:
            attributes["error.type"] = run.error_code
        self._tracer.end(
            self._span, "run", attributes, kind="internal", is_failed=is_failed
        )

    def call(
        self,
        provider: str,
        request: CompletionRequest,
        events: AsyncGenerator[Event, None],
    ) -> AsyncGenerator[Event, None]:
        """Yield what a provider says, within a span of its own."""
        if self._span.is_sampled:
            return self._call(provider, request, events)
        TRACEPARENT.set(self._span.traceparent)
        return events

    async def _call(
        self,
        provider: str,
        request: CompletionRequest,
        events: AsyncGenerator[Event, None],
    ) -> AsyncGenerator[Event, None]:
        span = self._tracer.begin(self._span)
        TRACEPARENT.set(span.traceparent)
        failure: BaseException | None = None
        resolved: str | None = None
        first_at: int | None = None
        said = Finished()
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Finished):
                        said = event
                    elif isinstance(event, Accepted):
                        resolved = event.resolved_model or resolved
                    elif first_at is None and not isinstance(event, ItemBegun):
                        first_at = time.time_ns()
                    yield event
        except BaseException as error:
            failure = error
            raise
        finally:
            TRACEPARENT.set(None)
            attributes = _asked(provider, request) | _answered(said, resolved)
            if first_at is not None:
                after = (first_at - span.began) / 1e9
                attributes["gen_ai.response.time_to_first_chunk"] = after
            if failure is not None:
                attributes["error.type"] = _kind_of(failure)
            operation = attributes["gen_ai.operation.name"]
            self._tracer.end(
                span,
                f"{operation} {request.model}",
                attributes,
                kind="client",
                is_failed=isinstance(failure, Exception),
            )


def _asked(provider: str, request: CompletionRequest) -> dict[str, Any]:
    parameters = request.parameters
    is_embedding = parameters.embedding is not None
    asked = {
        "gen_ai.operation.name": "embeddings" if is_embedding else "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": request.model,
        "llamakeep.run.id": request.run_id,
    }
    for name in _SAMPLING:
        if (value := getattr(parameters, name)) is not None:
            asked[f"gen_ai.request.{name}"] = value
    return asked


def _answered(said: Finished, resolved: str | None) -> dict[str, Any]:
    reason = said.finish_reason
    answered = {
        "gen_ai.response.model": said.resolved_model or resolved,
        "gen_ai.response.finish_reasons": None if reason is None else [reason],
        "gen_ai.usage.input_tokens": said.usage.input_tokens,
        "gen_ai.usage.output_tokens": said.usage.output_tokens,
    }
    return {name: value for name, value in answered.items() if value is not None}


def _kind_of(failure: BaseException) -> str:
    if isinstance(failure, LlamaKeepError):
        return failure.code
    if isinstance(failure, CancelledError | GeneratorExit):
        return "canceled"
    return type(failure).__qualname__
