"""A run that this process works on: its growing answer, and those who wait for it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import cached_property

from llamakeep.domain import Item, Run, RunStatus, Text, utc_now
from llamakeep.domain.messages import said_in
from llamakeep.domain.output import MARK, heads_of, items_of, tape_of
from llamakeep.engine.recovery.hints import Hints
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
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import (
    Accepted,
    Event,
    Finished,
    ItemBegun,
    ItemText,
    Provider,
)
from llamakeep.storage.runs.long_texts import outline_of

Rest = Callable[[Run, Position], AsyncGenerator[Update, None]]
"""Reads on in storage."""


class LiveRun:
    """
    What this process knows of a run that it works on.

    If the run was begun before, by a process that died, its response is that attempt's
    text, and this attempt starts from nothing.
    """

    task: asyncio.Task[None]
    """What works on it."""

    def __init__(self, run: Run, provider: Provider | None = None) -> None:
        self.run = run
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
        self.is_waiting = False
        """Whether it is counted among those that wait."""
        self.give_up_at: float | None = None
        """Until when it waits for its provider, by the event loop's clock."""
        self.is_answering = False
        """Whether the provider took the prompt; no refusal comes after that."""
        self.is_over = False
        self.is_lost = False
        """Another process has the run: what is in here is not its text any more."""
        self.is_released = False
        """It is over, and its text, which is long, is only in storage."""
        self.is_closing = False
        """What becomes of the run is decided, and being written."""
        self.trouble: LlamaKeepError | None = None
        """Why clients cannot be told how the run ends, for now."""
        self.owed_handle: str | None = None
        """What could not be attached yet; see `Upkeep`."""
        self.written_length = 0
        self.written_at = 0.0
        """How much of the text was written last, and when."""
        self.length = 0
        """How many characters `tape` has."""
        self._pieces: list[str] = []
        """What was received of the tape; each mark is a piece of its own."""
        self._heads: list[Item] = []
        """The items of the marks."""
        self._kept = tape_of(run.output, run.response) if run.output else run.response
        self._agreed = 0
        self._resolved_model = run.resolved_model
        self._finished: Finished | None = None
        self._is_resumed = run.handle is not None
        """Whether this attempt fetches the very answer that the one before received."""
        self._changed: asyncio.Event | None = None
        """Set at each change, once there is a reader."""
        self._waiting: set[asyncio.Future[Run | None]] = set()
        """Clients that wait for the end."""

    @cached_property  # few runs need them
    def hints(self) -> Hints:
        """Where the answer may be."""
        return Hints()

    @property
    def tape(self) -> str:
        """What this attempt received so far; without other items, a text."""
        if len(self._pieces) > 1:
            return "".join(self._pieces)
        return self._pieces[0] if self._pieces else ""

    @property
    def heads(self) -> Sequence[Item]:
        """The items of the marks in `tape`, without their texts."""
        return self._heads

    @property
    def is_repeating(self) -> bool:
        """Whether this attempt may still turn out to repeat an earlier one's text."""
        return self._agreed == self.length and self.length < len(self._kept)

    @property
    def is_worth_keeping(self) -> bool:
        """Whether there is text of this attempt that is not stored as an earlier's."""
        return bool(self._pieces) and not self.is_repeating

    def receive(self, event: Event) -> None:
        """Take in what the provider says."""
        if isinstance(event, ItemText):
            event = event.text
        if isinstance(event, str):
            if self._agreed == self.length < len(self._kept):
                self._agreed += _common_length(event, self._kept[self._agreed :])
            self._pieces.append(event)
            self.length += len(event)
            self.is_answering = True
        elif isinstance(event, Accepted):
            self.is_answering = True
            self._resolved_model = event.resolved_model or self._resolved_model
        elif isinstance(event, ItemBegun):
            self._begin(event.item)
        else:
            self._finished = event
        if (changed := self._changed) is not None:
            changed.set()
            changed.clear()

    def _begin(self, item: Item) -> None:
        if isinstance(item, Text) and (not self.length or self._is_in_text()):
            return  # it begins without a mark, or has begun
        place = len(self._heads)
        if self._agreed == self.length and self._kept.startswith(MARK, self.length):
            # Calls with other ids differ, whatever their arguments are.
            self._agreed += heads_of(self.run.output)[place] == item
        self._heads.append(item)
        self._pieces.append(MARK)
        self.length += 1
        self.is_answering = True

    def _is_in_text(self) -> bool:
        return not self._heads or isinstance(self._heads[-1], Text)

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
        if len(run.response) > LONG:
            # Those who wait for the end come first. Readers may take long, and then
            # hold nothing of it: the text is in storage.
            asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        self.is_released = True
        self.run = outline_of(self.run)
        self._pieces.clear()
        self._heads.clear()
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
            )
        response, output = self._said() if self._heads else (self.tape, ())
        return replace(
            self.run,
            response=response,
            output=output,
            common_length=self._common_length(),
            resolved_model=self._resolved_model,
        )

    def succeeded(self) -> Run:
        """Return the run as its whole answer ends it."""
        said = self._finished or Finished()
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
            finished_at=utc_now(),
        )

    def _said(self) -> tuple[str, Sequence[Item]]:
        """Return the text of this attempt, and all of its items."""
        output = items_of(self.tape, self._heads)
        return said_in(output), output

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

    def _next(self, seen: int) -> tuple[str, int]:
        """Return the text of some pieces that were not seen yet, and their end."""
        if seen + 1 == len(self._pieces):
            return self._pieces[seen], seen + 1
        begin, length = seen, 0
        while seen < len(self._pieces) and length < PIECE:
            if self._heads and self._pieces[seen] == MARK:
                seen = max(seen, begin + 1)  # it is alone
                break
            length += len(self._pieces[seen])
            seen += 1
        return "".join(self._pieces[begin:seen]), seen

    def _text_before(self, mark: int) -> str:
        """Return the text of the item that ends where a piece is a mark."""
        begin = mark
        while begin and self._pieces[begin - 1] != MARK:
            begin -= 1
        return "".join(self._pieces[begin:mark])

    def _resumed(self, position: Position) -> tuple[Delta | Reset, int]:
        """Return what a reader at `position` is handed, and the piece it ends with."""
        if self.is_released:
            return Delta("", position), 0
        attempt = self.run.attempt
        if not self._continues(position):
            begin = self._pieces[0] if self._pieces else ""
            if begin == MARK:
                return Reset("", Position(0, attempt)), 0
            end = Position(len(begin), attempt)
            return Reset(begin, end), min(1, len(self._pieces))
        seen = length = 0
        while length < position.offset:
            length += len(self._pieces[seen])
            seen += 1
        rest = self._pieces[seen - 1][position.offset - length :]
        if length == position.offset:
            rest = ""
        return Delta(rest, Position(length, attempt)), seen

    def _common_length(self) -> int | None:
        if self.run.attempt == 1:
            return None
        if self._is_resumed:
            return self.length
        return min(self._bound, self._agreed)

    @property
    def _bound(self) -> int:
        """How far an earlier attempt's reader can have read what is known here."""
        known = self.run.common_length
        return len(self._kept) if known is None else known

    def _is_mine(self, position: Position) -> bool:
        return (position.attempt or 1) == self.run.attempt

    def _is_decided(self, position: Position) -> bool:
        """Whether it is known if the text continues where the reader stopped."""
        if self._is_resumed:
            return self.is_over or self.length >= position.offset
        return (
            self.is_over
            or self._is_mine(position)
            or position.offset > self._bound
            or self._agreed >= position.offset
            or self._agreed < self.length
        )

    def _continues(self, position: Position) -> bool:
        if self._is_resumed or self._is_mine(position):
            return position.offset <= self.length
        return position.offset <= min(self._bound, self._agreed)


def _common_length(one: str, other: str) -> int:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))
