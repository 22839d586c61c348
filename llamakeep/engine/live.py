"""A run that this process works on: its growing answer, and those who wait for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from llamakeep.domain import Run, RunStatus, utc_now
from llamakeep.domain.output import MARK, heads_of, tape_of
from llamakeep.engine.attempt import Attempt, common_beginning
from llamakeep.engine.feeds.feed import Feed
from llamakeep.engine.recovery.hints import Hints
from llamakeep.engine.tracing import RunTrace
from llamakeep.engine.updates import (
    LONG,
    PIECE,
    Delta,
    Ended,
    ItemDelta,
    NextItem,
    Position,
    Reset,
    Silence,
    Update,
    delta_of,
    sliced,
    updates_of,
)
from llamakeep.engine.waiting.slots import Slots
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import (
    Accepted,
    Event,
    Finished,
    ItemBegun,
    ItemText,
    Logprobs,
    Provider,
)
from llamakeep.storage.runs.long_texts import outline_of

_MICROSECOND = timedelta(microseconds=1)

Rest = Callable[[Run, Position], AsyncGenerator[Update, None]]
"""Reads on in storage."""


class LiveRun(Attempt):
    """
    What this process knows of a run that it works on.

    If the run was begun before, by a process that died, its response is that attempt's
    text, and this attempt starts from nothing.
    """

    task: asyncio.Task[None]
    """What works on it."""
    feed: Feed | None = None
    """Where its changes are told, if its user listens."""
    trace: RunTrace | None = None
    """Records its spans, if there are traces."""

    def __init__(self, run: Run, provider: Provider | None = None) -> None:
        super().__init__(run)
        self.provider = provider
        self.prior: Sequence[Run] | None = None
        """What it follows in its conversation, if that is known."""
        self.stored: asyncio.Future[Run] | None = None
        """Where the client waits until the prompt is kept."""
        self.is_stored = False
        self.is_left = False
        """Whether another process left it, or a task of this one."""
        self.is_followed = False
        """Whether a client may read along."""
        self.was_begun = False
        """Whether the provider may have been asked, in an earlier attempt as well."""
        self.has_slot = False
        """Of the process."""
        self.upstream: Slots | None = None
        """Of which one it has a slot."""
        self.is_waiting = False
        """Whether it is counted among those that wait."""
        self.give_up_at: float | None = None
        """Until when it waits for its provider, by the event loop's clock."""
        self.is_doubtful = False
        """Whether another process may have taken it over while it was being stored."""
        self.is_lost = False
        """Another process has the run: what is in here is not its text any more."""
        self.is_closing = False
        """What becomes of the run is decided, and being written."""
        self.trouble: LlamaKeepError | None = None
        """Why clients cannot be told how the run ends, for now."""
        self.owed_handle: str | None = None
        """What could not be attached yet; see `Upkeep`."""
        self.written_length = 0
        self.written_at = 0.0
        """How much of the text was written last, and when."""
        self._resolved_model = run.resolved_model
        self._first_word_after = run.first_word_after
        """Of the attempt that said one first."""
        self._finished: Finished | None = None
        self._changed: asyncio.Event | None = None
        """Set at each change, once there is a reader."""
        self._waiting: set[asyncio.Future[Run | None]] = set()
        """Clients that wait for the end."""

    @cached_property  # few runs need them
    def hints(self) -> Hints:
        """Where the answer may be."""
        return Hints()

    def receive(self, event: Event) -> None:
        """Take in what the provider says."""
        if isinstance(event, ItemText):
            event = event.text
        if isinstance(event, str):
            if self._agreed == self.length < len(self._kept):
                self._agreed += common_beginning(event, self._kept[self._agreed :])
            self._pieces.append(event)
            self.length += len(event)
            self.is_answering = True
            if self._first_word_after is None:
                passed = datetime.now(UTC) - self.run.created_at
                self._first_word_after = max(0, passed // _MICROSECOND)
            if self._likely:
                self._logprobs = self._logprobs or []
                self._logprobs.append((self.length, self._likely))
                self._likely = ""
        elif isinstance(event, Accepted):
            self.is_answering = True
            self._resolved_model = event.resolved_model or self._resolved_model
        elif isinstance(event, ItemBegun):
            self._begin(event.item)
        elif isinstance(event, Logprobs):
            self._likely = ",".join(filter(None, (self._likely, event.json)))
        else:
            self._finished = event
        if (changed := self._changed) is not None:
            changed.set()
            changed.clear()

    def tick(self) -> None:
        """Show readers that the run has not ended."""
        if (changed := self._changed) is not None:
            changed.set()
            changed.clear()

    def hand_over(self, run: Run) -> None:
        """Tell all clients that the run ended as `run`, which is durable."""
        self.run = run
        self.trouble = None
        self._end(run)
        if self.feed is not None:
            self.feed.changed(run.id)
        if len(run.response) > LONG and run.store:
            # Those who wait for the end come first. Readers may take long, and then
            # hold nothing of it: the text is in storage.
            asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        self.is_released = True
        self.run = outline_of(self.run)
        self._pieces.clear()
        self._heads.clear()
        self._logprobs = None
        self._kept = ""

    def lose(self) -> None:
        """Send all clients to storage, to read the run there."""
        self.is_lost = True
        self._end(None)

    def _end(self, run: Run | None) -> None:
        self.is_over = True
        for waiting in self._waiting:
            if not waiting.done():  # else its client has left
                waiting.set_result(run)
        if self._changed is not None:
            self._changed.set()

    def refuse(self, error: Exception) -> None:
        """Tell the client that the prompt was not kept, or that this is not known."""
        self.trouble = error if isinstance(error, LlamaKeepError) else None
        for waiting in (self.stored, *self._waiting):
            if waiting is not None and not waiting.done():  # else its client has left
                waiting.set_exception(error)

    def fail(self, error: LlamaKeepError) -> None:
        """Tell all clients that nothing can be promised for now."""
        error.run_id = self.run.id
        self.trouble = error
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(error)
        self.tick()

    def recover(self) -> None:
        """Promise again what could not be promised since `fail`."""
        self.trouble = None

    def snapshot(self) -> Run:
        """Return the run with the text to keep now."""
        if self.is_repeating:
            return replace(
                self.run,
                common_length=self._bound,
                resolved_model=self._resolved_model,
                first_word_after=self._first_word_after,
            )
        response, output = self._said() if self._heads else (self.tape, ())
        return replace(
            self.run,
            response=response,
            output=output,
            common_length=self._common_length(),
            resolved_model=self._resolved_model,
            first_word_after=self._first_word_after,
        )

    def succeeded(self) -> Run:
        """Return the run as its whole answer ends it."""
        said = self._finished or Finished()
        if self._logprobs:
            response, output = self._whole()
        else:
            response, output = self._said() if self._heads else (self.tape, ())
        return replace(
            self.run,
            status=RunStatus.SUCCEEDED,
            # All of it, also where an earlier attempt had said more.
            response=response,
            output=output,
            common_length=None if self.run.attempt == 1 else self._common_length(),
            finish_reason=said.finish_reason,
            usage=said.usage,
            resolved_model=said.resolved_model or self._resolved_model,
            first_word_after=self._first_word_after,
            finished_at=utc_now(),
            vectors=said.vectors,
        )

    def kept(self) -> "asyncio.Future[Run]":
        """Return a future of the run once it is stored, or of one with its key."""
        self.stored = asyncio.get_running_loop().create_future()
        return self.stored

    def end(self) -> "asyncio.Future[Run | None]":
        """
        Return a future of the run once it is over.

        It is of `None` if the run has to be read from storage, and raises a
        `LlamaKeepError` if clients cannot be told the end for now; see `trouble`.
        """
        future = asyncio.get_running_loop().create_future()
        if self.is_over:
            is_here = not (self.is_lost or self.is_released)
            future.set_result(self.run if is_here else None)
        elif self.trouble is not None:
            future.set_exception(self.trouble)
        else:
            self._waiting.add(future)
            future.add_done_callback(self._waiting.discard)
        return future

    async def wait(self) -> None:
        """Return at the next change, or when there will be none."""
        if not self.is_over:
            self._changed = self._changed or asyncio.Event()
            await self._changed.wait()

    async def follow(  # noqa: C901, PLR0912 - in two, each delta would cost another one
        self, position: Position, rest: Rest
    ) -> AsyncGenerator[Update, None]:
        """
        Yield what comes after `position`, until the run is over.

        When the run is lost or released, `rest` reads on.

        Raises:
            LlamaKeepError: Clients cannot be told the end for now; see `trouble`.
        """
        changed = self._changed = self._changed or asyncio.Event()
        seen = offset = begun = 0  # pieces, characters and items
        kind: type[Delta | ItemDelta] = Delta
        if position.offset:
            while not self._is_decided(position):
                if self.trouble is not None:
                    raise self.trouble
                await changed.wait()
                yield Silence()
            update: Delta | ItemDelta | Reset
            update, seen = self._resumed(position)
            offset = update.position.offset
            if self._heads and (begun := self._pieces[:seen].count(MARK)):
                kind = delta_of(self._heads[begun - 1])
                update = kind(update.text, update.position)
            if isinstance(update, Reset) or update.text:
                position = update.position
                for slice_ in sliced(update):
                    yield slice_
        while not (self.is_lost or self.is_released):
            if seen < len(self._pieces):
                text, seen = self._next(seen)
                offset += len(text)
                position = Position(offset, self.run.attempt)
                if text == MARK:
                    head = self._heads[begun]
                    begun += 1
                    kind = delta_of(head)
                    yield NextItem(head, position, self._text_before(seen - 1))
                elif self._logprobs and kind is Delta:
                    yield Delta(text, position, self._likely_of(text, offset))
                elif len(text) <= PIECE:
                    yield kind(text, position)
                else:
                    for slice_ in sliced(kind(text, position)):
                        yield slice_
            elif self.is_over:
                # A repetition that broke off leaves what was kept before.
                run, end = self.run, Position(self.length, self.run.attempt)
                tape = tape_of(run.output, run.response)
                if self.length < len(tape):
                    heads = heads_of(run.output)
                    for rest_of in updates_of(tape, heads, end, attempt=run.attempt):
                        yield rest_of
                yield Ended(run)
                return
            else:
                if self.trouble is not None:
                    raise self.trouble
                await changed.wait()
                if seen == len(self._pieces) and not self.is_over:
                    yield Silence()
        async with aclosing(rest(self.run, position)) as updates:
            async for stored in updates:
                yield stored
