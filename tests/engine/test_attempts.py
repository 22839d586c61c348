"""Whatever crashes while somebody reads, they end up with the text that is stored."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamakeep.domain import (
    Item,
    Reasoning,
    Refusal,
    Run,
    RunStatus,
    Text,
    ToolCall,
    utc_now,
)
from llamakeep.domain.messages import said_in
from llamakeep.domain.output import MARK, heads_of, items_of, tape_of
from llamakeep.domain.runs import stored_position
from llamakeep.engine import (
    Delta,
    Ended,
    ItemDelta,
    NextItem,
    Position,
    Reset,
    Update,
)
from llamakeep.engine.following import lacking
from llamakeep.engine.live import LiveRun
from llamakeep.providers.base import ItemBegun, ItemText

KEPT = Run(
    id="run_1",
    user_id="user_1",
    status=RunStatus.STARTING,
    attempt=1,
    provider="scripted",
    model="parrot",
    prompt="Why?",
    created_at=utc_now(),
)


@dataclass(frozen=True)
class Visit:
    """Somebody reads from before the delta `come` until before the delta `leave`."""

    come: int
    leave: int
    reloads: bool = False
    """Whether they begin with what is stored, instead of with what they have."""


@dataclass(frozen=True)
class Attempt:
    deltas: Sequence[str | ItemBegun | ItemText]
    flushes: frozenset[int]
    """Before which deltas the text so far is stored."""
    visits: Sequence[Visit]
    """One for each reader."""
    succeeds: bool
    """Only for the last attempt; the others die."""


async def nothing_more(_run: Run, _position: Position) -> AsyncGenerator[Update, None]:
    updates: Sequence[Update] = ()
    for update in updates:
        yield update


def catch_up(run: Run, position: Position) -> Iterable[Update]:
    """Yield what a reader at `position` lacks of the run as it is stored."""
    if run.status is RunStatus.STARTING:
        return ()  # what is stored is an earlier attempt's, and may change
    return lacking(run, position)


class Reader:
    """Keeps what they were given, as a client does."""

    def __init__(self) -> None:
        self.text = ""
        """The tape."""
        self.heads: list[Item] = []
        self.position = Position()
        self.resets = 0
        self.end: Run | None = None

    def load(self, stored: Run) -> None:
        """Begin with what the history shows."""
        self.text = tape_of(stored.output, stored.response)
        self.heads = [*heads_of(stored.output)]
        position = Position.parse(stored_position(stored) or "")
        assert position is not None
        self.position = position

    def take(self, update: Update) -> None:
        if isinstance(update, Reset):
            self.text = ""
            self.heads.clear()
            self.resets += 1
        if isinstance(update, NextItem):
            self.text += MARK
            self.heads.append(update.item)
        if isinstance(update, Delta | ItemDelta | Reset):
            is_text = not self.heads or isinstance(self.heads[-1], Text | Refusal)
            assert is_text is not isinstance(update, ItemDelta)
            self.text += update.text
        if isinstance(update, Delta | ItemDelta | NextItem | Reset):
            parsed = Position.parse(str(update.position))
            assert parsed is not None
            self.position = parsed
        if isinstance(update, Ended):
            self.end = update.run

    async def follow(self, live: LiveRun) -> None:
        async with aclosing(live.follow(self.position, nothing_more)) as updates:
            async for update in updates:
                self.take(update)


def flushed(stored: Run, live: LiveRun) -> Run:
    """Return what the row is after a flush: as `RunStorage.flush` leaves it."""
    if not live.is_worth_keeping:
        return stored
    now = live.snapshot()
    return replace(
        stored,
        status=RunStatus.PROCESSING,
        response=now.response,
        output=now.output,
        common_length=now.common_length,
    )


def taken_over(stored: Run) -> Run:
    """Return what the row is after a crash: as `RunStorage.take_over` leaves it."""
    has_hidden_text = stored.status is RunStatus.STARTING and stored.attempt > 1
    return replace(
        stored,
        status=RunStatus.STARTING,
        attempt=stored.attempt + 1,
        common_length=0 if has_hidden_text else stored.common_length,
    )


def ended(live: LiveRun, succeeds: bool) -> Run:
    if succeeds:
        return live.succeeded()
    return replace(live.snapshot(), status=RunStatus.FAILED)


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


class Audience:
    """Readers of one attempt: some follow it, the others look at what is stored."""

    def __init__(self, live: LiveRun, visits: Iterable[tuple[Reader, Visit]]) -> None:
        self._live = live
        self._visits = tuple(visits)
        self._tasks: dict[Reader, asyncio.Task[None]] = {}

    def move(self, number: int, stored: Run) -> None:
        for reader, visit in self._visits:
            if visit.come == number:
                if visit.reloads:
                    reader.load(stored)
                self._tasks[reader] = asyncio.create_task(reader.follow(self._live))
            if visit.leave == number and reader in self._tasks:
                self._tasks.pop(reader).cancel()
            if reader not in self._tasks:
                for update in catch_up(stored, reader.position):
                    reader.take(update)

    async def stay(self) -> None:
        await asyncio.gather(*self._tasks.values())

    async def leave(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await settle()


async def play(attempts: Sequence[Attempt], readers: Sequence[Reader]) -> Run:
    """Let all attempts happen, and return the run as it is stored at the end."""
    stored = KEPT
    for attempt in attempts:
        live = LiveRun(stored)
        audience = Audience(live, zip(readers, attempt.visits, strict=True))
        for number, delta in enumerate((*attempt.deltas, None)):
            audience.move(number, stored)
            await settle()
            if number in attempt.flushes:
                stored = flushed(stored, live)
            if delta is not None:
                live.receive(delta)
                await settle()
        if attempt is attempts[-1]:
            stored = ended(live, attempt.succeeds)
            live.hand_over(stored)
            await audience.stay()
        else:
            await audience.leave()
            stored = taken_over(stored)
    for reader in readers:
        if reader.end is None:
            for update in catch_up(stored, reader.position):
                reader.take(update)
    return stored


READERS = 3
moments = st.integers(0, 5)


lines: st.SearchStrategy[str | Item] = st.text(
    "ab", min_size=1, max_size=3
) | st.sampled_from(
    [Text(), Reasoning(), Refusal(), ToolCall("call_1", "f"), ToolCall("call_2", "f")]
)


def said_as(
    lines: Iterable[str | Item],
) -> Iterator[str | ItemBegun | ItemText]:
    """Yield what a provider says of a text or the beginning of an item."""
    item: Item = Text()
    for line in lines:
        if isinstance(line, str):
            is_said = isinstance(item, Text | Refusal)
            if line:
                yield line if is_said else ItemText(line)
        else:
            item = line
            yield ItemBegun(item)


@st.composite
def attempt_lists(draw: st.DrawFn) -> list[Attempt]:
    said = draw(st.lists(lines, max_size=4))
    attempts = []
    for _ in range(draw(st.integers(1, 4))):
        same = said[: draw(st.integers(0, len(said)))]
        other = draw(st.lists(lines, max_size=2))
        deltas = draw(st.sampled_from([said, [*same, *other]]))
        if all(isinstance(line, str) for line in said) and draw(st.booleans()):
            deltas = ["".join(map(str, said))]
        attempts.append(
            Attempt(
                deltas=list(said_as(deltas)),
                flushes=draw(st.frozensets(moments, max_size=3)),
                visits=[
                    Visit(draw(moments), draw(moments), draw(st.booleans()))
                    for _ in range(READERS)
                ],
                succeeds=draw(st.booleans()),
            )
        )
    return attempts


@pytest.mark.slow
@settings(
    max_examples=300,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(attempts=attempt_lists())
def test_every_reader_ends_up_with_the_stored_text(attempts: list[Attempt]) -> None:
    readers = [Reader() for _ in range(READERS)]

    stored = asyncio.run(play(attempts, readers))

    tape = tape_of(stored.output, stored.response)
    assert [reader.text for reader in readers] == [tape] * READERS
    heads = heads_of(stored.output)
    assert [reader.heads for reader in readers] == [heads] * READERS
    if stored.output:
        assert items_of(tape, heads) == stored.output
        assert stored.response == said_in(stored.output)


def visit(come: int = 0, leave: int = 99) -> list[Visit]:
    return [Visit(come, leave)]


def attempt(
    *deltas: str, flushes: Sequence[int] = (), visits: Sequence[Visit] = ()
) -> Attempt:
    return Attempt(deltas, frozenset(flushes), visits or visit(), succeeds=True)


async def test_a_reader_does_not_notice_an_attempt_that_says_the_same() -> None:
    reader = Reader()

    stored = await play(
        [attempt("Be", "cau", flushes=[2]), attempt("Bec", "ause", ".")], [reader]
    )

    assert reader.text == stored.response == "Because."
    assert reader.resets == 0
    assert stored.common_length == 5


async def test_a_reader_is_given_everything_again_when_an_attempt_says_otherwise() -> (
    None
):
    reader = Reader()

    stored = await play(
        [attempt("Be", "cau", flushes=[2]), attempt("Bef", "ore", ".")], [reader]
    )

    assert reader.text == stored.response == "Before."
    assert reader.resets == 1
    assert stored.common_length == 2


async def test_a_reader_who_had_more_than_was_kept_is_given_everything_again() -> None:
    reader = Reader()

    stored = await play(
        [attempt("Be", "cau", flushes=[1]), attempt("Because.")], [reader]
    )

    assert reader.text == stored.response == "Because."
    assert reader.resets == 1


async def test_a_reader_who_had_less_than_what_differs_goes_on() -> None:
    reader = Reader()

    stored = await play(
        [attempt("Be", "cause", flushes=[2], visits=visit(0, 1)), attempt("Before.")],
        [reader],
    )

    assert reader.text == stored.response == "Before."
    assert reader.resets == 0


async def test_a_repetition_that_breaks_off_leaves_what_was_kept() -> None:
    reader = Reader()
    broken = replace(attempt("Be"), succeeds=False)

    stored = await play([attempt("Be", "cause", flushes=[2]), broken], [reader])

    assert reader.text == stored.response == "Because"
    assert stored.status is RunStatus.FAILED


async def test_agreeing_with_the_last_attempt_is_not_agreeing_with_all() -> None:
    reader = Reader()

    stored = await play(
        [
            attempt("Be", "cause", flushes=[2]),
            attempt("Be", "fore", flushes=[2], visits=visit(99)),
            attempt("Before", "."),
        ],
        [reader],
    )

    assert reader.text == stored.response == "Before."
    assert reader.resets == 1
