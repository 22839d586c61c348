"""A stream of run changes and of the texts of some runs, for one reader."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, suppress

from llamakeep.api.events import rendering
from llamakeep.api.http import sse
from llamakeep.api.prompts.events import rendered
from llamakeep.domain import RunStatus, User
from llamakeep.engine import Ended, Engine, Position, Silence
from llamakeep.engine.feeds.feed import Change, Listener
from llamakeep.engine.refusals import check_is_kept, stopped
from llamakeep.errors import (
    LlamaKeepError,
    RunNotFound,
    StorageUnavailable,
    TextNotKept,
)
from llamakeep.schemas.json_text import PIECE, cut, filled
from llamakeep.storage import Storage
from llamakeep.storage.runs.changed import ChangedRun

KEEP_ALIVE = 10.0
"""Seconds of silence after which a comment is sent."""

PAUSE = 0.015
"""Seconds between two pieces: what comes meanwhile is sent together."""

CHECK = 2.0
"""Seconds for which a credential counts as valid after it was looked at."""

AGAIN = 1.0
"""Seconds after which a reader may be asked once more to ask for its lists."""

ROOM = PIECE
"""Bytes that wait for the reader; beyond that, the texts of runs wait."""


class EventStream:
    """
    Merges the changes of a user's runs with the texts of those that are followed.

    Nothing is read ahead: while its reader does not read, the text of each followed run
    stays where it is, and the feed holds the last change of each run.

    Args:
        engine: Where runs are followed.
        storage: Where runs are read.
        user: The reader.
        follow: Where the reader is in the runs that it follows, by their ids.
        check: Raises an error when the reader's credential is not valid any more.
    """

    def __init__(
        self,
        engine: Engine,
        storage: Storage,
        user: User,
        follow: Mapping[str, Position],
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._user = user
        self._follow = follow
        self._check = check
        self._listener: Listener | None = None
        self._waiting: list[bytes] = []
        self._size = 0
        self._is_within = False
        """Whether an event was begun, and its last piece does not wait yet."""
        self._woken = asyncio.Event()
        self._woken.set()  # there may be changes since the reader's cursor
        self._taken = asyncio.Event()
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, Change] = {}
        """Ends of followed runs, which are told after their texts."""
        self._bug: BaseException | None = None
        self._checked_at = self._asked_at = self._sent_at = 0.0

    async def open(self, cursor: str) -> None:
        """
        Begin behind `cursor`, or with what changes from now.

        Raises:
            LlamaKeepError: It cannot begin.
        """
        feeds = self._engine.feeds
        self._listener = await feeds.listen(
            self._user.id, self._woken.set, cursor=cursor
        )
        try:
            runs = await self._storage.changed_runs(self._user.id, self._follow)
        except BaseException:
            self.close()
            raise
        self._checked_at = self._sent_at = asyncio.get_running_loop().time()
        for run_id, position in self._follow.items():
            following = self._following(run_id, runs.get(run_id), position)
            self._followers[run_id] = asyncio.create_task(following)

    def close(self) -> None:
        """Follow nothing more."""
        for follower in [*self._followers.values()]:
            follower.cancel()
        if self._listener is not None:
            self._engine.feeds.leave(self._listener)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the encoded events, until the reader leaves or has to."""
        listener = self._listener
        assert listener is not None
        yield rendering.ready(listener.cursor, resumed=listener.has_resumed)
        try:
            while not listener.feed.is_closed:
                is_silent = not await self._news()
                await self._check_credential()
                if is_silent:
                    self._sent_at = asyncio.get_running_loop().time()
                    if not self._is_within:
                        yield sse.KEEP_ALIVE
                elif piece := self._take(listener):
                    yield piece
                    await asyncio.sleep(PAUSE)
        except LlamaKeepError as error:
            last = rendering.refused(error)
        else:
            last = rendering.stopped(stopped())
        finally:
            await self._end()
        if not self._is_within:
            yield last

    async def _end(self) -> None:
        """Follow nothing more, and wait until that is so."""
        ending = [*self._followers.values()]
        self.close()
        if ending:
            await asyncio.wait(ending)

    async def _news(self) -> bool:
        """Wait for something to send; return whether there may be."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._sent_at + KEEP_ALIVE):
                await self._woken.wait()
        is_there = self._woken.is_set()
        self._woken.clear()
        if self._bug is not None:
            raise self._bug
        return is_there

    async def _check_credential(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._checked_at < CHECK:
            return
        with suppress(StorageUnavailable):
            await self._check()
        self._checked_at = now

    def _take(self, listener: Listener) -> bytes:
        """Return what waits for the reader."""
        frames, self._waiting, self._size = self._waiting, [], 0
        self._taken.set()
        self._taken.clear()
        if not self._is_within:
            frames.extend(self._ends(listener))
            frames.extend(self._changes(listener))
        if frames:
            self._sent_at = asyncio.get_running_loop().time()
        return b"".join(frames)

    def _ends(self, listener: Listener) -> Iterable[bytes]:
        for run_id in [*self._held]:
            if run_id not in self._followers:
                end = self._held.pop(run_id)
                yield rendering.changed(end, None if self._held else listener.cursor)

    def _changes(self, listener: Listener) -> Iterable[bytes]:
        loop = asyncio.get_running_loop()
        if not listener.is_complete:
            if (wait := self._asked_at + AGAIN - loop.time()) > 0:
                loop.call_later(wait, self._woken.set)
                return
            self._asked_at = loop.time()
        news = listener.take()
        if not news.is_complete:
            self._held.clear()
            yield rendering.ready(listener.cursor, resumed=False)
        for change in news.changes:
            is_end = change.run is None or change.run.beginning.run.status.is_final
            if is_end and change.run_id in self._followers:
                self._held[change.run_id] = change
            else:
                # A reader that comes back behind this would not get what is held.
                is_whole = not self._held
                cursor = listener.cursor_of(change.number) if is_whole else None
                yield rendering.changed(change, cursor)

    async def _following(
        self, run_id: str, found: ChangedRun | None, position: Position
    ) -> None:
        try:
            await self._send_text(run_id, found, position)
        except LlamaKeepError as error:
            is_over = isinstance(error, RunNotFound | TextNotKept)
            await self._send(rendering.failed(error, run_id, is_over=is_over))
        except Exception as error:  # noqa: BLE001 - the stream raises it
            self._bug = error
        finally:
            self._followers.pop(run_id, None)
            self._woken.set()

    async def _send_text(
        self, run_id: str, found: ChangedRun | None, position: Position
    ) -> None:
        if found is None:
            raise RunNotFound(f"There is no run {run_id!r} in your history.")
        check_is_kept(run := found.beginning.run)
        async with aclosing(self._engine.follow(run, position)) as updates:
            async for update in updates:
                if isinstance(update, Silence):
                    continue
                if isinstance(update, Ended):
                    await self._send_end(update)
                else:
                    await self._send(rendered(update, run.id))

    async def _send_end(self, end: Ended) -> None:
        if end.text is None or end.run.status is not RunStatus.SUCCEEDED:
            await self._send(rendering.ended(end.run))
        else:
            pieces = rendering.done_in_pieces(end.run)
            await self._send_pieces(filled(pieces, end.text.pieces))

    async def _send(self, event: bytes) -> None:
        """
        Have an event sent, and return when the reader has taken it.

        So more of the text is joined to one event, however fast it comes.
        """
        if len(event) > PIECE:
            await self._send_pieces(_each(event))
            return
        await self._room()
        self._add(event)
        await self._taken.wait()

    async def _send_pieces(self, pieces: AsyncIterator[bytes]) -> None:
        """Have an event sent in pieces, with nothing in between."""
        await self._room()
        self._is_within = True
        async for piece in pieces:
            while self._size >= ROOM:
                await self._taken.wait()
            self._add(piece)
        self._is_within = False
        self._woken.set()
        await self._taken.wait()

    async def _room(self) -> None:
        while self._is_within or self._size >= ROOM:
            await self._taken.wait()

    def _add(self, piece: bytes) -> None:
        self._waiting.append(piece)
        self._size += len(piece)
        self._woken.set()


async def _each(event: bytes) -> AsyncIterator[bytes]:
    for piece in cut(event):
        yield piece
