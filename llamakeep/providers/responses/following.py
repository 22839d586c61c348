"""Following one response to its end: its streams, and copies where those break off."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from time import monotonic

from llamakeep.errors import (
    AnswerExpired,
    LlamaKeepError,
    ProviderError,
    ProviderUnavailable,
)
from llamakeep.http import HttpError
from llamakeep.providers.backoff import Backoff
from llamakeep.providers.http import translated_errors
from llamakeep.providers.openai.items import Growth, Said, joined
from llamakeep.providers.responses.api import (
    TRANSIENT,
    ResponseEvents,
    ResponsesApi,
)
from llamakeep.providers.responses.reading import ResponseReader, growths_of

_SHORT_STREAM = 5.0
_MAX_SHORT_STREAMS = 2


class Following:
    """
    One response, and what it has said so far.

    Args:
        api: Where it is.
        reader: What is read of it.
        handle: Its id; it is not known yet where it was asked for here.
        events: The stream that came with that.
        who: What error messages call the server.
        patience: Seconds for which its server may be out of reach.
    """

    def __init__(
        self,
        api: ResponsesApi,
        reader: ResponseReader,
        handle: str | None = None,
        events: ResponseEvents | None = None,
        *,
        who: str,
        patience: float,
    ) -> None:
        self._api = api
        self._who = who
        self.reader = reader
        self.handle = handle
        self._said: list[Said] = []
        """What came with its id."""
        self._events = events
        self._backoff = Backoff(patience=patience, known_within=patience)
        self._short_streams = 0
        self._failure: LlamaKeepError | None = None
        """Why a stream cannot be read any further than it was."""

    async def begin(self) -> None:
        """
        Read the stream that came with the request until it says the response's id.

        Raises:
            LlamaKeepError: It does not; there may be a response.
        """
        assert self._events is not None
        try:
            while self.reader.id is None:
                with translated_errors(self._who):
                    said = await self._next(self._events)
                if said is None:
                    raise self.reader.failure or ProviderUnavailable(
                        f"{self._who} broke off before it said which response it is."
                    )
                self._said.append(said)
        except ProviderError as error:
            error.answer_may_exist = True
            raise
        self.handle = self.reader.id

    async def find(self) -> Said:
        """
        Get the response for the first time, and return what it says.

        Raises:
            AnswerExpired: The server does not know it.
            ProviderError: The server was out of reach for too long.
        """
        while self.reader.id is None:
            self._said.append(await self._look())
        said, self._said = joined(self._said), []
        return said

    async def growths(self) -> AsyncGenerator[Growth, None]:
        """
        Yield what comes next, until the response has ended.

        Raises:
            ProviderError: It cannot be followed any longer.
        """
        while not self._is_over():
            if self._short_streams < _MAX_SHORT_STREAMS:
                async with aclosing(self._streamed()) as growths:
                    async for growth in growths:
                        yield growth
            else:
                await asyncio.sleep(self._backoff.next_pause())
            if self._is_over():
                break
            for growth in growths_of(await self._look()):
                yield growth
                await asyncio.sleep(0)  # others have their turn
                self._backoff.grown()

    def _is_over(self) -> bool:
        return self.reader.is_over

    async def close(self) -> None:
        """Leave the stream that came with the request."""
        if self._events is not None:
            await self._events.close()

    async def _streamed(self) -> AsyncGenerator[Growth, None]:
        """Yield what one stream says; however it ends, a copy tells the rest."""
        began, has_grown = monotonic(), False
        with suppress(HttpError, *TRANSIENT):
            async with self._stream() as events:
                if events is None:
                    self._short_streams = _MAX_SHORT_STREAMS
                    return
                while (said := await self._next(events)) is not None:
                    for growth in growths_of(said):
                        has_grown = True
                        yield growth
                        await asyncio.sleep(0)  # others have their turn
        is_short = monotonic() - began < _SHORT_STREAM and not has_grown
        self._short_streams = self._short_streams + 1 if is_short else 0

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[ResponseEvents | None]:
        """Lend the stream that came with the request, or another one."""
        if (events := self._events) is not None:
            try:
                yield events
            finally:
                self._events = None
                await events.close()
            return
        assert self.handle is not None
        after = self.reader.last_number
        if after is None:
            self.reader.rewind()
        async with self._api.stream(self.handle, after=after) as found:
            yield found

    async def _next(self, events: ResponseEvents) -> Said | None:
        """Return what the events say that arrived together; `None` at the end."""
        reader = self.reader
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if reader.is_over:
            await events.drain()
        if reader.is_over or reader.failure is not None:
            return None
        found = await events.next()
        if found is None:
            return None
        said: list[Said] = []
        try:
            for event in found:
                read = reader.read_copy if events.is_copy else reader.read
                said.append(read(event))
        except LlamaKeepError as error:
            self._failure = error
        return joined(said)

    async def _look(self) -> Said:
        """Read a copy of it; an outage that is not too long is waited out."""
        assert self.handle is not None
        try:
            copy = await self._api.get(self.handle)
        except (*TRANSIENT, AnswerExpired) as error:
            await asyncio.sleep(self._backoff.pause_after(error))
            return ""
        self._backoff.reached()
        self.reader.failure = None
        return self.reader.read_copy(copy)
