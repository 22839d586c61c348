"""A provider whose first answer gets lost, and may be found."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from llamakeep.domain import User
from llamakeep.engine import Engine
from llamakeep.errors import LlamaKeepError, ProviderUnavailable
from llamakeep.providers.base import (
    Accepted,
    Candidate,
    CompletionRequest,
    Event,
)
from llamakeep.providers.searchable import SearchableProvider
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import WHY, open_engine
from tests.fakes import Line, ScriptedProvider
from tests.waiting import until

ANOTHER = CompletionRequest(run_id="run_0", attempt=1, model="parrot", messages=())
"""In `Forgetful.requests`, it lets the next answer come."""


class Forgetful(ScriptedProvider):
    """
    Goes on without us, and does not say with what: its first answer gets lost.

    Args:
        script: What any answer says.
        marks_answers: Whether it can be proven whose they are.
        listed: What it says that there is.
        proven: The handles of answers that are provably ours.
    """

    is_idempotent = False

    def __init__(
        self,
        script: Sequence[Line] = ("Because.",),
        *,
        marks_answers: bool = True,
        listed: Sequence[Candidate] = (),
        proven: Collection[str] = (),
    ) -> None:
        super().__init__(script)
        self.marks_answers = marks_answers
        self.may_lose = asyncio.Event()
        self.may_lose.set()
        self.listed = listed
        self.proven = proven
        self.trouble: LlamaKeepError | None = None
        self.may_look = True
        self.looks = 0
        self.hinted: list[str] = []
        self.resumed: list[str] = []
        self.stopped: list[str] = []

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        if not self.requests:
            self.requests.append(request)
            await self.may_lose.wait()
            lost = ProviderUnavailable("Replicate hung up.")
            lost.answer_may_exist = True
            raise lost
        async for event in super().answer(request):
            yield replace(event, handle="new") if isinstance(event, Accepted) else event

    async def resume(
        self, request: CompletionRequest, handle: str
    ) -> AsyncGenerator[Event, None]:
        self.resumed.append(handle)
        async for event in super().answer(request):
            yield (
                replace(event, handle=handle) if isinstance(event, Accepted) else event
            )

    async def find(
        self, request: CompletionRequest, *, within: timedelta
    ) -> Sequence[Candidate]:
        assert request.run_id
        assert within
        self.looks += 1
        if not self.may_look:
            raise ProviderUnavailable
        self._fail()
        return self.listed

    async def is_proven(self, request: CompletionRequest, handle: str) -> bool:
        assert request.run_id
        self._fail()
        return handle in self.proven

    def hint(self, handle: str) -> None:
        self.hinted.append(handle)

    def now(self) -> datetime | None:
        return None

    def detach(self) -> None:
        pass

    async def cancel(self, handle: str) -> None:
        self.stopped.append(handle)

    def _fail(self) -> None:
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble


assert isinstance(Forgetful(), SearchableProvider)


@asynccontextmanager
async def lost_run(
    settings: Settings, storage: Storage, user: User, provider: Forgetful
) -> AsyncIterator[tuple[Engine, str]]:
    """A engine, and the id of a run whose create is known to be on its way."""
    async with open_engine(settings, storage, provider) as engine:
        run = await engine.accept(user, WHY)
        await until(lambda: provider.requests)
        yield engine, run.id
