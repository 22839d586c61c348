"""A live run, and what another node makes of its lines."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from llamakeep.domain import Run, RunStatus, User, utc_now
from llamakeep.domain.messages import Reasoning, Text, ToolCall
from llamakeep.engine import Delta, ItemDelta, Position, Reset, Update
from llamakeep.engine.following import nothing
from llamakeep.engine.live import LiveRun
from llamakeep.nodes.lines import begun_by, lines_of, receive
from llamakeep.providers.base import Event, ItemBegun, ItemText, Logprobs
from tests.storage.running import new_run

T = TypeVar("T")

TEXT = ("Once", " upon", " a time")
ITEMS = (
    ItemBegun(Reasoning("")),
    ItemText("Let me see."),
    ItemBegun(Text("")),
    "It is",
    ItemBegun(ToolCall("call_1", "look", "")),
    ItemText('{"at": "the'),
    ItemText(' sky"}'),
)
LIKELY = ("Be", Logprobs('{"token": "cause"}'), "cause")


def new(**facts: Any) -> Run:
    return new_run(User("user_1", "alice", utc_now()), **facts)


async def gathered(items: AsyncGenerator[T, None]) -> list[T]:
    """Return what there is now."""
    found: list[T] = []

    async def gather() -> None:
        async with aclosing(items):
            async for item in items:
                found.append(item)  # noqa: PERF401 - it may be canceled

    gathering = asyncio.create_task(gather())
    for _ in range(50):
        await asyncio.sleep(0)
    if gathering.done():
        gathering.result()
    gathering.cancel()
    await asyncio.wait([gathering])
    return found


async def mirror_of(live: LiveRun, run: Run) -> LiveRun:
    """Return what a node makes of a live run by its lines."""
    first, *others = await gathered(lines_of(live))
    mirror = begun_by(run, first)
    for line in others:
        receive(mirror, line)
    return mirror


async def read(live: LiveRun, position: Position) -> list[Update]:
    return await gathered(live.follow(position, nothing))


@pytest.mark.parametrize("events", [TEXT, ITEMS, LIKELY, ()])
@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"attempt": 2, "response": "Once upon an", "common_length": None},
        {"attempt": 2, "response": "Twice", "common_length": 3},
        {"attempt": 3, "response": "Once", "handle": "p1"},
        {
            "attempt": 2,
            "response": "It was",
            "output": (Reasoning("Let me"), Text("It was")),
        },
    ],
)
@pytest.mark.parametrize("position", [None, "4", "4@2", "30", "30@2", "2@3"])
async def test_who_reads_along_at_another_node_is_handed_the_same(
    events: Sequence[Event], facts: dict[str, Any], position: str | None
) -> None:
    run = new(**facts)
    live = LiveRun(run)
    for event in events:
        live.receive(event)
    at = Position() if position is None else Position.parse(position)
    assert at is not None

    mirror = await mirror_of(live, replace(run, response="", output=()))

    assert mirror.tape == live.tape
    assert mirror.run.status is RunStatus.PROCESSING
    # What was received in pieces may come in fewer.
    assert text_of(await read(mirror, at)) == text_of(await read(live, at))


def text_of(updates: Sequence[Update]) -> list[object]:
    """Return updates with the texts that follow one another as one."""
    found: list[Any] = []
    for update in updates:
        last: Any = found[-1] if found else None
        if (isinstance(update, Delta) and isinstance(last, Delta | Reset)) or (
            isinstance(update, ItemDelta) and isinstance(last, ItemDelta)
        ):
            text = last.text + update.text
            found[-1] = replace(last, text=text, position=update.position)
        else:
            found.append(update)
    return found


async def test_an_attempt_that_begins_later_is_known_by_its_text() -> None:
    queued = new(status=RunStatus.QUEUED, attempt=0, started_at=None)
    live = LiveRun(queued)
    lines = lines_of(live)
    mirror = begun_by(queued, await anext(lines))

    live.run = replace(queued, status=RunStatus.STARTING, attempt=1)
    live.receive("Once")
    receive(mirror, await anext(lines))

    assert (mirror.run.attempt, mirror.tape) == (1, "Once")
    await lines.aclose()
