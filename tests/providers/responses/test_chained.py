"""Another llamakeep as the server that keeps answers: two of them in a chain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from llamakeep.domain import (
    Item,
    Message,
    Reasoning,
    Refusal,
    RunStatus,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from llamakeep.domain.messages import message_of
from llamakeep.errors import ProviderError, ProviderUnavailable
from llamakeep.providers import backoff
from llamakeep.providers.base import Accepted, Finished, ItemBegun, ItemText
from llamakeep.providers.responses.provider import BackgroundProvider
from llamakeep.settings import Settings
from tests.cli.serving import Network, Served, network, served
from tests.fakes import ScriptedProvider
from tests.providers.asking import Answer, ask, request
from tests.providers.responses.test_background import HEADER
from tests.waiting import until

SEALED = '{"extra_content":{"signature":"x"}}'
ANSWER = (
    ItemBegun(Reasoning()),
    ItemText("Hm."),
    ItemBegun(Reasoning(sealed=SEALED)),
    ItemBegun(Text()),
    "It \N{LLAMA}",
    " is.",
    ItemBegun(Refusal()),
    "No more.",
    ItemBegun(ToolCall("call_a", "look")),
    ItemText('{"at": '),
    ItemText('"it"}'),
    ItemBegun(ToolCall("call_b", "look")),
    ItemText("{}"),
)
ITEMS: list[Item] = [
    Reasoning("Hm."),
    Text("It \N{LLAMA} is."),
    Refusal("No more."),
    ToolCall("call_a", "look", '{"at": "it"}'),
    ToolCall("call_b", "look", "{}"),
]
USAGE = Usage(7, 3, cached_tokens=2, reasoning_tokens=1)
ASKED = request("Why?", model="scripted:parrot")


@pytest.fixture(autouse=True)
def poll_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 0.005)


@pytest.fixture
def scripted() -> ScriptedProvider:
    return ScriptedProvider(ANSWER, finished=Finished("tool_calls", USAGE))


@pytest.fixture
async def upstream(
    settings: Settings, scripted: ScriptedProvider
) -> AsyncIterator[Served]:
    settings = settings.model_copy(update={"shutdown_grace": 0})
    async with served(settings, scripted) as server:
        yield server


@asynccontextmanager
async def asking(
    upstream: Served, *, header: str | None = HEADER
) -> AsyncIterator[tuple[Network, BackgroundProvider]]:
    """Yield a provider that asks another server, and the network in between."""
    key = await upstream.new_access_token("downstream")
    async with network(upstream.url) as between:
        provider = BackgroundProvider(
            f"{between.url}/v1",
            api_key=key,
            idempotency_header=header,
            silence_timeout=5,
        )
        yield between, provider
        await provider.close()


async def statuses(upstream: Served) -> list[RunStatus]:
    """Return how the runs are that the other server has."""
    user = await upstream.user("downstream")
    return [run.status for run in await upstream.storage.history(user)]


def told(answer: Answer) -> list[object]:
    """Return the items of an answer but for what is to be handed back."""
    return [each for each in answer.items if getattr(each, "sealed", None) is None]


async def test_all_that_a_model_says_comes_through_two_servers(
    upstream: Served, scripted: ScriptedProvider
) -> None:
    async with asking(upstream) as (_, provider):
        answer = await ask(provider, ASKED)
        assert answer.accepted is not None
        assert answer.accepted.handle is not None
        again = Answer()
        async with aclosing(provider.resume(ASKED, answer.accepted.handle)) as events:
            async for one in events:
                if not isinstance(one, Accepted | Finished):
                    again.add(one)

    assert told(answer) == ITEMS
    assert again.items == answer.items
    assert answer.finished == Finished("tool_calls", USAGE, "scripted:parrot")
    assert len(scripted.requests) == 1


async def test_what_a_model_wants_back_comes_back_through_two_servers(
    upstream: Served, scripted: ScriptedProvider
) -> None:
    async with asking(upstream) as (_, provider):
        answer = await ask(provider, ASKED)
        said = message_of("assistant", answer.items)
        seen = [ToolResult("call_a", "A cat."), ToolResult("call_b", "A dog.")]
        messages = [*ASKED.messages, said, message_of("tool", seen)]
        await ask(provider, replace(ASKED, run_id="run_2", messages=messages))

    first, *others = scripted.requests[1].messages
    parts = [part for message in others for part in message.parts]
    assert first == Message("user", "Why?")
    assert Reasoning(sealed=SEALED) in parts
    assert [part for part in parts if isinstance(part, ToolCall | ToolResult)] == [
        *ITEMS[3:],
        *seen,
    ]


async def test_a_stream_goes_on_where_the_network_broke_off(
    upstream: Served, scripted: ScriptedProvider
) -> None:
    gate = asyncio.Event()
    scripted.script = (*ANSWER[:5], gate, *ANSWER[5:])
    async with asking(upstream) as (between, provider):
        answer = Answer()
        asked = asyncio.create_task(ask(provider, ASKED, into=answer))
        await until(lambda: "\N{LLAMA}" in answer.text)
        between.cut()
        await asyncio.sleep(0.05)
        gate.set()
        await asked
        assert between.connections > 1

    assert told(answer) == ITEMS
    assert await statuses(upstream) == [RunStatus.SUCCEEDED]


async def test_one_key_is_one_run_there_however_often_it_is_asked(
    upstream: Served, scripted: ScriptedProvider
) -> None:
    async with asking(upstream) as (_, provider):
        for attempt in (1, 2, 3):
            answer = await ask(provider, replace(ASKED, attempt=attempt))

    assert told(answer) == ITEMS
    assert (len(scripted.requests), len(await statuses(upstream))) == (1, 1)


async def test_who_leaves_cancels_the_run_there(
    upstream: Served, scripted: ScriptedProvider
) -> None:
    scripted.script = ("Because", asyncio.Event())
    async with asking(upstream) as (_, provider):
        async with aclosing(provider.answer(ASKED)) as events:
            async for one in events:
                if isinstance(one, str):
                    break

        async def is_canceled() -> bool:
            return await statuses(upstream) == [RunStatus.CANCELED]

        await until(is_canceled)


async def test_a_run_that_fails_there_fails_here(
    upstream: Served, scripted: ScriptedProvider
) -> None:
    scripted.script = ("Because", ProviderUnavailable("It broke."))
    async with asking(upstream) as (_, provider):
        answer = Answer()
        with pytest.raises(ProviderError, match="It broke"):
            await ask(provider, ASKED, into=answer)

    assert answer.text == "Because"
