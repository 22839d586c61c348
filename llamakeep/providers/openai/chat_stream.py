"""The body of an answer, whatever its server calls it: events, lines, or one piece."""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from llamakeep.errors import (
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderTimeout,
    ProviderUnavailable,
)
from llamakeep.http import HttpError, Response
from llamakeep.providers.event_lines import (
    EventLines,
    is_whole_event,
    surely_ends_event,
)
from llamakeep.providers.http import message_of, translated_errors
from llamakeep.providers.json_text import has_more_values_than, read_json
from llamakeep.providers.openai.chat_completions import MAX_TEXT, CompletionReader
from llamakeep.providers.openai.items import Growth, Said, joined
from llamakeep.providers.sse import EventParser, EventTooLarge

_MAX_WHOLE = MAX_TEXT + 1024 * 1024
"""Bytes of an answer that is not streamed: the longest text, and what is around it."""
_PARSED_ASIDE = 256 * 1024
"""Bytes of JSON from which on it is parsed in a thread."""
_MOST_VALUES = 200_000
"""How many values the JSON of one answer may have; an answer has a few dozen."""
_MAX_REMARK = 1000
_SLICE = 16 * 1024
"""Bytes that are read at once: tiny events cost a thousand times what text does."""
_DRAIN_TIMEOUT = 0.1
_REST_TIMEOUT = 3.0
"""Seconds that the usage, and `[DONE]`, may take to follow the finish reason."""
_SEPARATORS = " \t\r\n,"
_BLANK = b"\xef\xbb\xbf \t\r\n"


class ChatStream:
    """
    An answer, joined as it arrived together.

    It is no generator: one inside another is not closed with it. What may follow the
    finish reason has `rest_timeout` seconds to arrive.
    """

    def __init__(
        self,
        response: Response,
        reader: CompletionReader,
        who: str,
        *,
        rest_timeout: float = _REST_TIMEOUT,
    ) -> None:
        self._response = response
        self._reader = reader
        self._who = who
        self._rest_timeout = rest_timeout
        self._rest_ends_at: float | None = None
        self._parser = EventParser()
        self._unread: memoryview | None = None
        """What was received and is not read yet, of a large piece."""
        self._json = bytearray()
        self._form: str | None = None
        """`events`, `lines` of JSON, or `whole` JSON, once that is known."""
        self._has_events = False
        self._stray = b""
        """What stood where events were to be."""
        self._errors = translated_errors(who)
        self._is_over = self._is_cut = False
        self._failure: LlamaKeepError | None = None
        self._ready: deque[Growth] = deque()
        """What was read and not returned, where there is more than text."""

    async def next(self) -> Growth | None:  # noqa: C901 - in two, each delta costs more
        """
        Return some more of the answer, or `None` when there is no more.

        Raises:
            LlamaKeepError: The answer failed; what came before that remains valid.
        """
        reader = self._reader
        while True:
            if self._ready:
                await asyncio.sleep(0)  # others have their turn
                return self._ready.popleft()
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                return None
            if reader.is_done:
                self._is_over = True
                if not self._response.is_read:
                    await self._drain()
                said = reader.end()  # it raises where [DONE] was all that was said
            elif self._unread is not None:
                said = self._feed(self._take_slice())
            else:
                data = await self._read()
                said = self._feed(data) if data is not None else await self._end()
            if said:
                self._rest_ends_at = None
                if isinstance(said, str):
                    return said
                self._ready.extend(said)
                return self._ready.popleft()
            if self._unread is not None:
                await asyncio.sleep(0)  # others have their turn

    def _take_slice(self) -> bytes:
        assert self._unread is not None
        data, rest = self._unread[:_SLICE], self._unread[_SLICE:]
        self._unread = rest or None
        return data.tobytes()

    async def _read(self) -> bytes | None:
        """Return some more of the body, or `None` at its end, also an untimely one."""
        read = self._read_rest if self._reader.is_complete else self._response.read
        try:
            with self._errors:
                data = await read()
            if data is None or len(data) <= _SLICE:
                return data
            self._unread = memoryview(data)
            return self._take_slice()
        except (ProviderUnavailable, ProviderTimeout) as error:
            self._is_cut = True
            if not self._reader.is_complete:  # otherwise only the usage is missing
                self._failure = error
            return None

    async def _read_rest(self) -> bytes | None:
        """Return what follows a complete answer; some servers never end it."""
        loop = asyncio.get_running_loop()
        if self._rest_ends_at is None:
            self._rest_ends_at = loop.time() + self._rest_timeout
        try:
            async with asyncio.timeout_at(self._rest_ends_at):
                return await self._response.read()
        except TimeoutError:
            self._is_cut = True
            return None

    def _feed(self, data: bytes) -> Said:
        """Return what some more of the body says; failures come after it."""
        said: list[Said] = []
        try:
            if self._form is None:
                data = self._recognised(data)
            if self._form == "events":
                self._feed_events(data, said)
            elif self._form is not None:
                self._feed_json(data, said)
        except LlamaKeepError as error:
            self._failure = error
            said.append(self._reader.break_off())
        return joined(said)

    def _recognised(self, data: bytes) -> bytes:
        """Find out by its beginning what the body is, and return that."""
        if data.startswith(b"data:"):
            self._form = "events"
            return data
        data = data.lstrip(_BLANK)
        if not data:
            return b""
        encoding = self._response.header("content-encoding")
        if data.startswith(b"\x1f\x8b") or (encoding and not 0x20 <= data[0] < 0x7F):
            raise ProviderAnswerInvalid(
                f"{self._who} sent its answer compressed with "
                f"{(encoding or 'gzip')[:40]!a}, which was not asked for. Switch that "
                "off there."
            )
        if data.startswith(b"<"):
            raise ProviderAnswerInvalid(f"{self._who} answered with a page.")
        self._form = "json" if data[:1] in b"{[" else "events"
        return data

    def _feed_events(self, data: bytes, said: list[Said]) -> None:
        try:
            blocks = self._parser.blocks(data)
        except EventTooLarge as exc:
            raise ProviderAnswerInvalid(
                f"{self._who} sent an event of more than 1 MiB, or of very many lines."
            ) from exc
        reader = self._reader
        at = 0
        while at < len(blocks) and not reader.is_done:
            batch, at = reader.parse_batch(blocks, at)
            said.append(batch)
            if at < len(blocks):
                self._read_block(blocks[at], said)
                at += 1
        if self._parser.has_rest and not reader.is_done:
            lines = self._parser.take_lines(surely_ends_event)
            if lines:
                self._read_block(lines, said)

    def _read_block(self, block: bytes, said: list[Said]) -> None:
        if block.startswith(b"data: ") and b"\n" not in block:  # as nearly all do
            self._has_events = True
            said.append(self._reader.read(block[6:]))
            return
        if block.startswith(b":") and b"\n" not in block:  # a comment
            self._has_events = True
            return
        found = EventLines.read(block)
        self._has_events = self._has_events or found.is_event
        self._stray = self._stray or found.stray[:_MAX_REMARK]
        for name, data in found.events:
            said.append(self._reader.read(data, is_error=name == b"error"))
            if name == b"done":
                self._reader.is_done = True
            if self._reader.is_done:
                return

    def _feed_json(self, data: bytes, said: list[Said]) -> None:
        self._json += data
        if len(self._json) > _MAX_WHOLE:
            raise ProviderAnswerInvalid(f"{self._who} sent an answer that is too long.")
        if b"\n" not in data:
            return
        if self._form == "json":
            first, _, _ = self._json.partition(b"\n")
            is_alone = len(first) <= _PARSED_ASIDE and is_whole_event(bytes(first))
            self._form = "lines" if is_alone else "whole"
        if self._form == "lines":
            *lines, rest = bytes(self._json).split(b"\n")
            self._json = bytearray(rest)
            self._read_lines(lines, said)

    def _read_lines(self, lines: Iterable[bytes], said: list[Said]) -> None:
        # One after the other: what comes before a failure is kept.
        for line in lines:
            if self._reader.is_done:
                return
            said.append(self._reader.read(line))

    async def _end(self) -> Said:
        """Return what the end of the body brings to light."""
        self._is_over = True
        if self._failure is not None:
            return self._reader.break_off()
        said: list[Said] = []
        try:
            if self._form == "events" and not self._is_cut:
                self._end_events(said)
            elif self._form == "lines" and not self._is_cut:
                self._read_lines([bytes(self._json)], said)
            elif self._form is not None and self._form != "events" and not self._is_cut:
                await self._end_json(said)
            if not self._reader.is_complete:
                raise self._broken_off()
        except LlamaKeepError as error:
            self._failure = error
            return joined([*said, self._reader.break_off()])
        return joined([*said, self._rest()])

    def _end_events(self, said: list[Said]) -> None:
        """Read the last event, which no empty line has ended."""
        try:
            self._read_block(self._parser.end(), said)
        except ProviderAnswerInvalid:
            if not self._reader.is_complete:
                raise self._broken_off() from None

    async def _end_json(self, said: list[Said]) -> None:
        data, self._json = self._json, bytearray()
        if len(data) > _PARSED_ASIDE:
            found = await asyncio.to_thread(_values, data)
        else:
            found = _values(data)
        if found is None:
            raise ProviderAnswerInvalid(
                f"{self._who} sent something that cannot be read: it is not JSON, or "
                "has too many values."
            )
        del data
        said.extend(self._reader.read_value(value) for value in found)
        is_one = len(found) == 1
        if is_one and not self._reader.is_complete:
            # It has not to say why it ended: all of it is here.
            self._reader.is_done = True

    def _rest(self) -> Said:
        try:
            return self._reader.end()
        except LlamaKeepError as error:
            self._failure = error
            return ""

    def _broken_off(self) -> LlamaKeepError:
        reader = self._reader
        if error := reader.in_other_format():
            return error
        if self._form == "events" and not (self._has_events or reader.has_choices):
            said = message_of(self._stray.decode(errors="replace"))
            says = f": {said}" if said else "."
            return ProviderAnswerInvalid(f"{self._who} sent no events{says}")
        media_type = self._response.header("content-type") or ""
        if self._form is None and media_type.lower().startswith("text/html"):
            return ProviderAnswerInvalid(f"{self._who} answered with a page.")
        said = reader.remark
        if said is None and b" " in self._stray:  # otherwise it may be half a name
            said = message_of(self._stray.decode(errors="replace"))
        says = f": {said}" if said else "."
        return ProviderUnavailable(f"{self._who} broke off its answer{says}")

    async def _drain(self) -> None:
        """Read the end of the body, without which the connection is not used again."""
        with suppress(TimeoutError, HttpError):
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                await self._response.read()


def _values(data: bytearray) -> Sequence[Any] | None:
    """Return the values of JSON texts that follow one another, if they are that."""
    if len(data) > _PARSED_ASIDE and has_more_values_than(_MOST_VALUES, data):
        return None
    try:
        value = read_json(data)
    except ValueError:
        return _several(data.decode(errors="replace"))
    return value if isinstance(value, list) else [value]


def _several(text: str) -> Sequence[Any] | None:
    decoder = json.JSONDecoder()
    found: list[Any] = []
    at = 0
    try:
        while at < len(text):
            value, end = decoder.raw_decode(text, at)
            found.append(value)
            while end < len(text) and text[end] in _SEPARATORS:
                end += 1
            at = end
    except (ValueError, RecursionError):
        pass  # what is no JSON behind an answer does not change it
    return found or None
