"""However often a stream of events is cut: each run's text comes exactly once."""

import asyncio
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from llamakeep.settings import Settings
from tests.api.events.tabs import Tab
from tests.api.serving import Client, connect
from tests.fakes import Line, ScriptedProvider
from tests.waiting import until

PIECES = (
    "a",
    "\U0001f999",
    "e\u0301",
    "\n\ndata: ",
    "\u2028",
    "\U0001f469\u200d\U0001f680",
)
"""Some of them are several characters, bytes, or JavaScript's units."""


@dataclass(frozen=True)
class Story:
    """What a model says, and after how many pieces the reader loses its connection."""

    pieces: list[str]
    cuts: frozenset[int]


stories = st.builds(
    Story,
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=8),
    st.frozensets(st.integers(0, 8), max_size=4),
)


class Steps:
    """A script whose every piece waits until it is wanted."""

    def __init__(self, pieces: list[str]) -> None:
        self._events = [asyncio.Event() for _ in (*pieces, "end")]
        pairs = zip(self._events, pieces, strict=False)
        said: list[Line] = [line for pair in pairs for line in pair]
        self.script = [*said, self._events[-1]]

    def take(self, number: int) -> None:
        self._events[number].set()


def _is_asked(provider: ScriptedProvider, more_than: int) -> bool:
    return len(provider.requests) > more_than


def _has(reader: Tab, run_id: str, text: str) -> bool:
    return reader.texts[run_id] == text


async def read(client: Client, provider: ScriptedProvider, told: list[Story]) -> Tab:
    """Let runs answer side by side, and a reader be cut off in between."""
    reader = Tab(client)
    begun: list[tuple[str, Steps, Story]] = []
    for story in told:
        steps = Steps(story.pieces)
        provider.script = steps.script
        count = len(provider.requests)
        run_id = await client.begin()
        await until(partial(_is_asked, provider, count))
        begun.append((run_id, steps, story))
        reader.follow(run_id)
    for number in range(9):
        if any(number in story.cuts for story in told):
            await reader.close()
        if reader.is_over:
            await reader.open()
        for _, steps, story in begun:
            if number <= len(story.pieces):
                steps.take(number)
        for run_id, _, story in begun:
            so_far = "".join(story.pieces[: number + 1])
            await reader.until(partial(_has, reader, run_id, so_far))
    for run_id, _, _ in begun:
        await reader.until_told(run_id)
    await reader.close()
    for run_id, _, story in begun:
        assert reader.texts[run_id] == "".join(story.pieces)
        # One state may be told again with more of the text, but none after the next.
        statuses = [status for status, _ in groupby(reader.statuses(run_id))]
        assert statuses == list(dict.fromkeys(statuses))
    return reader


@pytest.mark.slow
@examples(
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(told=st.lists(stories, min_size=1, max_size=3))
async def test_texts_come_once_wherever_their_reader_is_cut_off(
    settings: Settings, told: list[Story]
) -> None:
    provider = ScriptedProvider()
    async with connect(settings, provider) as client:
        reader = await read(client, provider, told)

    assert not reader.named("reset")


async def test_a_reader_that_is_cut_off_after_each_event_gets_each_once(
    settings: Settings,
) -> None:
    story = Story([*PIECES], frozenset(range(9)))
    provider = ScriptedProvider()
    async with connect(settings, provider) as client:
        reader = await read(client, provider, [story, story])

    assert not reader.named("reset")
    assert len(reader.named("ready")) >= 7
    assert not [one for one in reader.named("ready")[1:] if not one.data["resumed"]]
