"""Following a run that another process works on, or that has ended, in storage."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from llamakeep.domain import Run, RunStatus, User
from llamakeep.domain.output import heads_of, tape_of
from llamakeep.domain.runs import is_of_earlier
from llamakeep.engine.live import LiveRun
from llamakeep.engine.refusals import text_not_kept
from llamakeep.engine.updates import (
    LONG,
    Delta,
    Ended,
    Growth,
    Position,
    Reset,
    Silence,
    StoredText,
    Update,
    known_length,
    updates_of,
)
from llamakeep.storage import Storage
from llamakeep.storage.runs.long_texts import START
from llamakeep.storage.runs.lookups import Progress

POLL_INTERVAL = 0.25
"""Seconds between two looks at a run that is followed in storage."""

RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds for which a run is followed in storage until its node is tried again."""


class Mirrors(Protocol):
    """Follows runs at the nodes that work on them."""

    def mirrored(self, run: Run) -> AbstractAsyncContextManager[LiveRun | None]:
        """
        Lend a copy of a live run; `None` if its node cannot be reached, or has it not.

        It is lost when its node has ended it, or has it no longer. It is no copy if
        this node has the run by now.
        """
        ...

    def look_for_cancels(self, run_id: str) -> None:
        """Have the node that works on a run look which ones are to be canceled."""
        ...


async def follow_elsewhere(
    storage: Storage,
    mirrors: Mirrors | None,
    run: Run,
    position: Position,
) -> AsyncGenerator[Update, None]:
    """
    Yield what comes of `run` after `position`, until its end.

    It is followed at the node that works on it, and in storage where that cannot be
    reached, as `follow_stored` does.

    Raises:
        LlamaKeepError: What `follow_stored` raises.
    """
    loop, retries = asyncio.get_running_loop(), iter(RETRIES)
    until = float("inf")
    while True:
        if mirrors is not None and not run.status.is_final:
            until = next(retries, RETRIES[-1])
            async with mirrors.mirrored(run) as live:
                if live is not None:
                    retries = iter(RETRIES)
                    until = next(retries)
                    async with aclosing(live.follow(position, nothing)) as updates:
                        async for update in updates:
                            position = getattr(update, "position", position)
                            yield update
                            if isinstance(update, Ended):
                                return
            until += loop.time()
        stored = follow_stored(storage, run, position, every=POLL_INTERVAL)
        async with aclosing(stored) as updates:
            async for update in updates:
                position = getattr(update, "position", position)
                yield update
                if isinstance(update, Ended):
                    return
                if isinstance(update, Silence) and loop.time() >= until:
                    break


async def nothing(_run: Run, _position: Position) -> AsyncGenerator[Update, None]:
    """Yield nothing: what comes then is not this reader's to read."""
    updates: Sequence[Update] = ()
    for update in updates:
        yield update


async def follow_stored(
    storage: Storage, run: Run, position: Position, *, every: float
) -> AsyncGenerator[Update, None]:
    """
    Yield what is stored of `run` after `position`, until its end.

    It is read a piece at a time, each when the reader has taken the one before. Between
    two looks, each of which reads what is new, are `every` seconds.

    Raises:
        RunNotFound: It was deleted.
        TextNotKept: It has succeeded, and its texts were not to be stored.
        StorageUnavailable: It cannot be read.
    """
    while True:
        now = await storage.progress(run, after=position.offset)
        if now.status.is_final:
            break
        if now.has_items:
            run = await storage.get_run(owner_of(run), run.id)
            # What an earlier attempt has stored may change.
            is_hidden = is_of_earlier(run.status, run.attempt, run.common_length)
            for item in () if is_hidden else lacking(run, position):
                yield item
                position = item.position
        elif (news := await _news(storage, run, position, now)) is not None:
            yield news
            position = news.position
            if position.offset < now.length:
                continue
        yield Silence()
        await asyncio.sleep(every)
    if now.has_items:
        run = await storage.get_run(owner_of(run), run.id)
        for item in lacking(run, position):
            yield item
        yield Ended(run)
        return
    ended = _ended if run.store else _unkept
    async with aclosing(ended(storage, run, position)) as updates:
        async for update in updates:
            yield update


async def _news(
    storage: Storage, run: Run, position: Position, now: Progress
) -> Delta | Reset | None:
    """Return some of what a reader at `position` lacks of a run that has not ended."""
    if is_of_earlier(now.status, now.attempt, now.common_length):
        return None  # it may change
    known = known_length(position, now.attempt, now.common_length, now.length)
    if position.offset <= known:
        end = Position(position.offset + len(now.text), now.attempt)
        return Delta(now.text, end) if now.text else None
    if now.length == known:
        return None  # it may still grow into what the reader has
    now = await storage.progress(run, after=0)
    if now.status is not RunStatus.PROCESSING:
        return None
    return Reset(now.text, Position(len(now.text), now.attempt))


def lacking(run: Run, position: Position) -> Iterator[Growth | Reset]:
    """Yield what a reader at `position` lacks of an answer with several items."""
    tape = tape_of(run.output, run.response)
    known = known_length(position, run.attempt, run.common_length, len(tape))
    if position.offset > known:
        if len(tape) == known and not run.status.is_final:
            return  # it may still grow into what the reader has
        position = Position(0, run.attempt)
        yield Reset("", position)
    heads = heads_of(run.output)
    yield from updates_of(tape, heads, position, attempt=run.attempt)


def owner_of(run: Run) -> User:
    """Return the user whose run it is, as far as reading it needs one."""
    return User(run.user_id, "", run.created_at)


async def _ended(
    storage: Storage, run: Run, position: Position
) -> AsyncGenerator[Update, None]:
    """Yield what a reader at `position` lacks of a run that has ended, and its end."""
    owner = owner_of(run)
    run = await storage.outline(owner, run.id)
    kind: type[Delta | Reset] = Delta
    place = await storage.place_in_text(run, position.offset)
    known = known_length(position, run.attempt, run.common_length, place.offset)
    if position.offset > known:
        kind, place = Reset, START
    while not place.is_end or kind is Reset:
        text, place = await storage.text_piece(run, place)
        if text or kind is Reset:
            yield kind(text, Position(place.offset, run.attempt))
        kind = Delta
    if place.offset <= LONG:
        yield Ended(await storage.get_run(owner, run.id))
    else:
        yield Ended(run, StoredText(place.offset, lambda: storage.text_pieces(run)))


async def _unkept(
    storage: Storage, run: Run, _: Position
) -> AsyncGenerator[Update, None]:
    """Yield the end of a run that has no text any more, unless text is expected."""
    run = await storage.outline(owner_of(run), run.id)
    if run.status is RunStatus.SUCCEEDED:
        raise text_not_kept(run)
    yield Ended(run)
