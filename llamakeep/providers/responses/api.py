"""Requests to a server that keeps responses: one method for each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode

from llamakeep.errors import (
    AnswerExpired,
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.http import Client, HttpError, Response
from llamakeep.providers.http import read_body, read_refusal, translated_errors
from llamakeep.providers.json_text import (
    has_more_values_than,
    read_event_json,
    read_json,
)
from llamakeep.providers.openai.chat_completions import MAX_TEXT
from llamakeep.providers.openai.provider import has_answer
from llamakeep.providers.sse import EventParser, EventTooLarge

TRANSIENT = (
    ProviderUnavailable,
    ProviderTimeout,
    ProviderRateLimited,
    ProviderAnswerInvalid,
)
"""What a GET may be repeated after: a page of a proxy's may come in between."""

_MAX_COPY = 4 * MAX_TEXT
"""Bytes of a response with the longest text."""
_OK, _NOT_FOUND, _GONE, _SERVER_ERRORS = 200, 404, 410, 500
_PARSED_ASIDE = 256 * 1024
"""Bytes of JSON from which on it is parsed in a thread."""
_MOST_VALUES = 200_000
"""How many values the JSON of one response may have; it has a few dozen."""
_SLICE = 16 * 1024
"""Bytes of events that are read at once."""
_DRAIN_TIMEOUT = 0.1
_QUICK = 20.0
"""Seconds that a request may take that is answered at once."""

Refused = Callable[[Response, Any], LlamaKeepError]
"""Makes an error of a response with another status than 2xx, and of its body."""


class ResponsesApi:
    """
    The requests about responses that there are.

    Args:
        client: Sends them.
        who: What error messages call the server.
        refused: Makes their errors.
    """

    def __init__(self, client: Client, who: str, refused: Refused) -> None:
        self._client = client
        self._who = who
        self._refused = refused

    async def get(self, handle: str) -> Any:
        """
        Return a copy of a response.

        Raises:
            AnswerExpired: The server does not know it.
            ProviderError: The server cannot be asked.
        """
        with translated_errors(self._who):
            get = self._client.send("GET", _path(handle), seconds=_QUICK)
            async with get as response:
                if response.status != _OK:
                    raise await self._error(response)
                body = await read_body(response, _MAX_COPY)
        match copy := await _copy_in(body):
            case {"id": found, "status": str()} if found == handle:
                return copy
        raise ProviderAnswerInvalid(
            f"{self._who} answered with something else than the response."
        )

    @asynccontextmanager
    async def stream(
        self, handle: str, *, after: int | None
    ) -> AsyncIterator["ResponseEvents | None"]:
        """Lend a response's events after a number; nothing if it is not streamed."""
        query: dict[str, Any] = {"stream": "true"}
        if after is not None:
            query["starting_after"] = after
        path = f"{_path(handle)}?{urlencode(query)}"
        with translated_errors(self._who):
            async with self._client.send("GET", path) as response:
                found = ResponseEvents(response)
                yield None if found.is_copy else found

    async def cancel(self, handle: str) -> None:
        """Cancel a response; one that has ended, or is unknown, stays as it is."""
        with translated_errors(self._who):
            post = self._client.send("POST", f"{_path(handle)}/cancel", seconds=_QUICK)
            async with post as response:
                # Servers refuse to cancel what has ended in more ways than one.
                if response.status >= _SERVER_ERRORS or response.status in {401, 429}:
                    raise await self._error(response)

    async def _error(self, response: Response) -> ProviderError:
        body = await read_refusal(response)
        if response.status in {_NOT_FOUND, _GONE}:
            return AnswerExpired(
                f"{self._who} does not know the response any more; the text that had "
                "arrived is kept."
            )
        error = self._refused(response, body)
        if isinstance(error, ProviderError) and response.status < _SERVER_ERRORS:
            return error
        # Nothing is wrong with the request: a proxy has answered it.
        return ProviderUnavailable(
            f"{self._who} is not available ({response.status}).",
            retry_after=error.retry_after,
        )


class ResponseEvents:
    """
    The events of one stream, or the one copy of a response that came instead.

    It is no generator: one inside another is not closed with it. `stack` has what is to
    be left with it.
    """

    def __init__(self, response: Response, stack: AsyncExitStack | None = None) -> None:
        self.is_copy = not _streams(response)
        self._response = response
        self._stack = stack
        self._parser = EventParser()
        self._is_over = False
        self._unread = memoryview(b"")
        """What was received and is not read yet."""

    async def next(self) -> Sequence[Any] | None:
        """
        Return the events that arrived together, or `None` at the end.

        Raises:
            HttpError: The connection was lost.
        """
        while not self._is_over:
            if self.is_copy:
                self._is_over = True
                body = await read_body(self._response, _MAX_COPY)
                return [await _copy_in(body)]
            if not self._unread:
                if (data := await self._response.read()) is None:
                    break
                self._unread = memoryview(data)
            data, self._unread = self._unread[:_SLICE].tobytes(), self._unread[_SLICE:]
            try:
                events = self._parser.feed(data)
            except EventTooLarge:  # a copy of the response tells the rest
                break
            if found := _values([event.data for event in events]):
                return found
            await asyncio.sleep(0)  # others have their turn
        self._is_over = True
        return None

    async def drain(self) -> None:
        """Read the end of the body, without which the connection is not used again."""
        self._is_over = True
        with suppress(TimeoutError, HttpError):
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                await self._response.read()

    async def close(self) -> None:
        """Leave the stream, where it came with the request for the response."""
        self._is_over = True
        if self._stack is not None:
            await self._stack.aclose()


async def _copy_in(body: bytes) -> Any:
    """Return the JSON of a body, if it is that."""
    if len(body) > _PARSED_ASIDE and has_more_values_than(_MOST_VALUES, body):
        return None
    try:
        if len(body) > _PARSED_ASIDE:
            return await asyncio.to_thread(read_json, body)
        return read_json(body)
    except ValueError:
        return None


def _values(texts: Sequence[bytes]) -> Sequence[Any]:
    """Return the values of JSON texts; what is none only keeps connections alive."""
    found = []
    for text in texts:
        try:
            found.append(read_event_json(text))
        except ValueError:
            continue
    return found


def _streams(response: Response) -> bool:
    media_type = (response.header("content-type") or "").lower()
    return has_answer(response.status) and "json" not in media_type


def _path(handle: str) -> str:
    return f"/responses/{quote(handle, safe='')}"
