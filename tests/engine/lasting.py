"""A provider that goes on without the server, as Replicate does, in memory."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from llamakeep.errors import AnswerExpired, ProviderUnavailable
from llamakeep.providers.base import (
    Accepted,
    Candidate,
    CompletionRequest,
    Event,
)
from llamakeep.providers.searchable import SearchableProvider
from tests.fakes import ScriptedProvider


@dataclass
class Prediction:
    """What was begun and is paid for."""

    handle: str
    run_id: str
    is_canceled: bool = False
    read: int = field(default=0)
    """How often its answer was read to its end."""


class LastingProvider(ScriptedProvider):
    """
    Begins predictions that can be found, fetched again and canceled.

    Attributes:
        predictions: All that were begun.
        loses: How many creates begin one whose answer gets lost.
    """

    marks_answers = True
    is_idempotent = False

    def __init__(self, *script: str) -> None:
        super().__init__(script or ("Hello", ", ", "world"), name="lasting")
        self.predictions: list[Prediction] = []
        self.loses = 0
        self._is_detached = False

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal
        made = Prediction(f"p{len(self.predictions)}", request.run_id)
        self.predictions.append(made)
        await asyncio.sleep(0)
        if self.loses:
            self.loses -= 1
            lost = ProviderUnavailable("It hung up.")
            lost.answer_may_exist = True
            raise lost
        async with aclosing(self._read(request, made)) as events:
            async for event in events:
                yield event

    async def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        [made] = [each for each in self.predictions if each.handle == handle]
        if made.is_canceled:
            raise AnswerExpired("It was canceled.")
        async with aclosing(self._read(request, made)) as events:
            async for event in events:
                yield event

    async def find(
        self, request: CompletionRequest, *, within: timedelta
    ) -> Sequence[Candidate]:
        assert within
        return [
            Candidate(each.handle, is_proven=True)
            for each in self.predictions
            if each.run_id == request.run_id
        ]

    async def is_proven(self, request: CompletionRequest, handle: str) -> bool:
        return any(
            each.handle == handle and each.run_id == request.run_id
            for each in self.predictions
        )

    def hint(self, handle: str) -> None:
        pass

    def now(self) -> datetime | None:
        return None

    def detach(self) -> None:
        self._is_detached = True

    async def cancel(self, handle: str) -> None:
        for each in self.predictions:
            each.is_canceled |= each.handle == handle

    async def _read(
        self, request: CompletionRequest, made: Prediction
    ) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(super().answer(request)) as events:
                async for event in events:
                    if isinstance(event, Accepted):
                        yield replace(event, handle=made.handle)
                    else:
                        yield event
        except (GeneratorExit, asyncio.CancelledError):
            made.is_canceled |= not self._is_detached
            raise
        made.read += 1


assert isinstance(LastingProvider(), SearchableProvider)
