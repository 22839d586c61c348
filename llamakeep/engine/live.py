"""A run that is going on here: one buffer, read by everybody who follows it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from functools import cached_property

from llamakeep.domain import Run, RunStatus, utc_now
from llamakeep.engine.hints import Hints
from llamakeep.engine.updates import (
    LONG,
    PIECE,
    Delta,
    Ended,
    Position,
    Reset,
    Silence,
    Update,
)
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import Accepted, Event, Finished
from llamakeep.storage.runs.long_texts import outline_of


class LiveRun:
    """
    The text of a run that is going on, and a bell that rings when it changes.

    Args:
        run: As it was stored. If it was begun before, by a process that died, its
            response is that attempt's text, and this attempt starts from nothing.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.is_answering = run.status is RunStatus.PROCESSING
        """Whether the provider took the prompt; no refusal comes after that."""
        self.is_over = False
        self.is_lost = False
        """Somebody else holds the run now: what is in here is not its text any more."""
        self.is_released = False
        """It is over, and its text, which is long, is only in storage."""
        self.is_closing = False
        """What becomes of the run is decided, and being written."""
        self.trouble: LlamaKeepError | None = None
        """Why nobody can be told how the run ends, for now."""
        self.owed_handle: str | None = None
        """What could not be attached yet; see `Upkeep`."""
        self.written_length = 0
        self.written_at = 0.0
        """How much of the text was written last, and when."""
        self._bell = asyncio.Event()
        self._pieces: list[str] = []
        self._length = 0
        self._kept = run.response
        self._agreed = 0
        self._finished = Finished()
        self._resolved_model: str | None = None
        self._is_resumed = run.handle is not None
        """Whether this attempt fetches the very answer that the one before received."""

    @cached_property  # few runs need them, and each has 0.8 KB
    def hints(self) -> Hints:
        """Where the answer may be."""
        return Hints()

    @cached_property  # those who read a stream do not wait for it
    def _end(self) -> asyncio.Event:
        return asyncio.Event()

    @property
    def run(self) -> Run:
        """The run, as far as it is known here."""
        # Nobody may ask before the end, and a copy costs as much as what it is for.
        run, model = self._run, self._resolved_model
        if (self.is_answering and run.status is not RunStatus.PROCESSING) or (
            model is not None and model != run.resolved_model
        ):
            self._run = replace(
                run,
                status=RunStatus.PROCESSING,
                resolved_model=model or run.resolved_model,
            )
        return self._run

    @run.setter
    def run(self, run: Run) -> None:
        self._run = run
        self._resolved_model = None  # what was known of it is in there
        self.is_answering = run.status is RunStatus.PROCESSING

    @property
    def text(self) -> str:
        """What this attempt received so far."""
        if len(self._pieces) > 1:
            return "".join(self._pieces)
        return self._pieces[0] if self._pieces else ""

    @property
    def length(self) -> int:
        """How many characters `text` has."""
        return self._length

    @property
    def is_repeating(self) -> bool:
        """Whether this attempt may still turn out to repeat an earlier one's text."""
        return self._agreed == self._length and self._length < len(self._kept)

    @property
    def is_worth_keeping(self) -> bool:
        """Whether there is text of this attempt that is not stored as an earlier's."""
        return bool(self._pieces) and not self.is_repeating

    def receive(self, event: Event) -> None:
        """Take in what the provider says."""
        if isinstance(event, str):
            self._append(event)
        elif isinstance(event, Accepted):
            self.is_answering = True
            self._resolved_model = event.resolved_model or self._resolved_model
        else:
            self._finished = event
        self._ring()

    def tick(self) -> None:
        """Show those who wait that the run goes on."""
        self._ring()

    def hand_over(self, run: Run) -> None:
        """Tell everybody that the run ended as `run`, which is durable."""
        self.run = run
        self.is_over = True
        self.trouble = None
        self._end.set()
        self._ring()
        if len(run.response) > LONG:
            # Those who wait for the end come first. Readers may take long, and then
            # hold nothing of it: the text is in storage.
            asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        self.is_released = True
        self.run = outline_of(self.run)
        self._pieces.clear()
        self._kept = ""

    def lose(self) -> None:
        """Send everybody away to read the run from storage."""
        self.is_lost = self.is_over = True
        self._end.set()
        self._ring()

    def fail(self, error: LlamaKeepError) -> None:
        """Tell everybody who waits that nothing can be promised."""
        error.run_id = self._run.id
        self.trouble = error
        self._end.set()
        self._ring()

    def recover(self) -> None:
        """Promise again what could not be promised since `fail`."""
        if self.trouble is not None and not self.is_over:
            self.trouble = None
            self._end.clear()

    def snapshot(self) -> Run:
        """Return the run with the text to keep now."""
        if self.is_repeating:
            return replace(self.run, common_length=self._bound)
        return replace(
            self.run, response=self.text, common_length=self._common_length()
        )

    def succeeded(self) -> Run:
        """Return the run as its whole answer ends it."""
        said = self._finished
        known = self._resolved_model or self._run.resolved_model
        return replace(
            self._run,
            status=RunStatus.SUCCEEDED,
            # All of it, also where an earlier attempt had said more.
            response=self.text,
            common_length=self._common_length(),
            finish_reason=said.finish_reason,
            usage=said.usage,
            resolved_model=said.resolved_model or known,
            finished_at=utc_now(),
        )

    async def ended(self) -> Run | None:
        """
        Return the run once it is over, or `None` once it has to be read from storage.

        Raises:
            LlamaKeepError: Nobody can be told the end for now; see `trouble`.
        """
        await self._end.wait()
        if not self.is_over:
            self._raise_trouble()
        return None if self.is_lost or self.is_released else self.run

    async def wait(self) -> None:
        """Return at the next change, or when there will be none."""
        if not self.is_over:
            await self._bell.wait()

    async def follow(self, position: Position) -> AsyncGenerator[Update, None]:
        """
        Yield what comes after `position`, until the run is over, lost or released.

        Raises:
            LlamaKeepError: Nobody can be told the end for now; see `trouble`.
        """
        seen = offset = 0  # pieces and characters
        if position.offset:
            while not self._is_decided(position):
                self._raise_trouble()
                await self.wait()
                yield Silence()
            update, seen = self._resumed(position)
            offset = update.position.offset
            if isinstance(update, Reset) or update.text:
                yield update
        while not (self.is_lost or self.is_released):
            if seen < len(self._pieces):
                begun, start = seen, offset
                while seen < len(self._pieces) and offset - start < PIECE:
                    offset += len(self._pieces[seen])
                    seen += 1
                delta = "".join(self._pieces[begun:seen])
                yield Delta(delta, self._position(offset))
            elif self.is_over:
                # A repetition that broke off leaves what was kept before.
                if rest := self.run.response[self._length :]:
                    yield Delta(rest, self._position(len(self.run.response)))
                yield Ended(self.run)
                return
            else:
                self._raise_trouble()
                await self._bell.wait()
                if seen == len(self._pieces) and not self.is_over:
                    yield Silence()

    def _resumed(self, position: Position) -> tuple[Delta | Reset, int]:
        """Return what a reader at `position` is handed, and the piece it ends with."""
        if self.is_released:
            return Delta("", position), 0
        if not self._continues(position):
            begin = self._pieces[0] if self._pieces else ""
            return Reset(begin, self._position(len(begin))), min(1, len(self._pieces))
        seen = length = 0
        while length < position.offset:
            length += len(self._pieces[seen])
            seen += 1
        rest = self._pieces[seen - 1][position.offset - length :]
        if length == position.offset:
            rest = ""
        return Delta(rest, self._position(length)), seen

    def _append(self, delta: str) -> None:
        if self._agreed == self._length < len(self._kept):
            self._agreed += _common_length(delta, self._kept[self._agreed :])
        self._pieces.append(delta)
        self._length += len(delta)
        self.is_answering = True

    def _common_length(self) -> int | None:
        if self._run.attempt == 1:
            return None
        if self._is_resumed:
            return self._length
        return min(self._bound, self._agreed)

    @property
    def _bound(self) -> int:
        """How far an earlier attempt's reader can have read what is known here."""
        known = self._run.common_length
        return len(self._kept) if known is None else known

    def _position(self, offset: int) -> Position:
        return Position(offset, self._run.attempt)

    def _is_mine(self, position: Position) -> bool:
        return (position.attempt or 1) == self._run.attempt

    def _is_decided(self, position: Position) -> bool:
        """Whether it is known if the text goes on where the reader stopped."""
        if self._is_resumed:
            return self.is_over or self._length >= position.offset
        return (
            self.is_over
            or self._is_mine(position)
            or position.offset > self._bound
            or self._agreed >= position.offset
            or self._agreed < self._length
        )

    def _continues(self, position: Position) -> bool:
        if self._is_resumed or self._is_mine(position):
            return position.offset <= self._length
        return position.offset <= min(self._bound, self._agreed)

    def _raise_trouble(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _ring(self) -> None:
        self._bell.set()
        self._bell.clear()


def _common_length(one: str, other: str) -> int:
    """Return with how many same characters both begin."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


def sliced(update: Update) -> Iterator[Update]:
    """Yield what comes to the same as `update`, in texts of at most `PIECE`."""
    if not isinstance(update, Delta | Reset) or len(update.text) <= PIECE:
        yield update
        return
    text, attempt = update.text, update.position.attempt
    begin = update.position.offset - len(text)
    kind = type(update)
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        yield kind(piece, Position(begin + start + len(piece), attempt))
        kind = Delta


def catch_up(run: Run, position: Position) -> Delta | Reset | None:
    """Return what a reader at `position` lacks of the text of `run` as it is stored."""
    if run.status is RunStatus.STARTING:
        return None  # what is stored is an earlier attempt's, and may change
    text = run.response
    now = Position(len(text), run.attempt)
    known = known_length(position, run.attempt, run.common_length, len(text))
    if position.offset <= known:
        rest = text[position.offset :]
        return Delta(rest, now) if rest else None
    # Text that is not there yet may still grow into what the reader has.
    return Reset(text, now) if run.status.is_final or len(text) > known else None


def known_length(
    position: Position, attempt: int, common_length: int | None, length: int
) -> int:
    """
    Return how many characters of a stored text are what a reader read.

    Args:
        position: Where the reader is.
        attempt: Whose text is stored.
        common_length: How many characters all attempts have in common.
        length: How many the stored text has.
    """
    if (position.attempt or 1) == attempt or not position.offset:
        return length
    return min(common_length or 0, length)
