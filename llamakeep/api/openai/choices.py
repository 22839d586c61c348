"""
Several choices for one request: each is a run of its own.

So each is on disk before a model is asked, is counted and paid for, continues after a
crash where it can, and is in the history under its own id. The completion has the id of
the first.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from typing import Any

from fastapi import Request, Response

from llamakeep.api.http import sse
from llamakeep.api.http.links import prefix_of
from llamakeep.api.openai.errors import error_of
from llamakeep.api.openai.forms import ResponseFormat, usage_of
from llamakeep.api.openai.wire import DONE, json_response
from llamakeep.api.prompts.canceling import CancelOnDisconnect, Stream
from llamakeep.api.prompts.events import HEADERS
from llamakeep.domain import NewRun, Run, Usage, User
from llamakeep.engine import (
    Delta,
    Ended,
    Engine,
    ItemDelta,
    NextItem,
    Reset,
    Silence,
    Update,
)
from llamakeep.engine.refusals import begun_anew, raise_for_status
from llamakeep.errors import LlamaKeepError
from llamakeep.schemas.json_text import to_json
from llamakeep.storage.runs.lookups import IdempotencyKey

MOST = 16
"""How many choices a request may have."""
_SEEDS = 2**63

Told = tuple[int, Update | Exception]
"""The number of a choice, and more of it, or why it ends."""


def alike(asked: NewRun, count: int) -> Iterator[NewRun]:
    """Yield one request as often as there are to be choices, each with its own seed."""
    seed = asked.parameters.seed
    for number in range(count):
        if seed is None or number == 0:
            yield asked
            continue
        other = (seed + number + _SEEDS) % (2 * _SEEDS) - _SEEDS
        yield replace(asked, parameters=replace(asked.parameters, seed=other))


async def accepted(
    engine: Engine,
    user: User,
    asked: Sequence[NewRun],
    key: IdempotencyKey | None,
    *,
    is_followed: bool,
) -> Sequence[Run]:
    """
    Keep all choices.

    Without a key, those before one that is refused are canceled; with it, they
    continue, since the client may send the request again.

    Raises:
        LlamaKeepError: One is refused.
    """
    runs: list[Run] = []
    try:
        for number, one in enumerate(asked):
            run = await engine.accept(
                user,
                one,
                idempotency_key=None if key is None else _key_of(key, number),
                is_followed=is_followed,
            )
            runs.append(run)
    except LlamaKeepError:
        await CancelOnDisconnect(
            engine, user, *runs, may_come_back=key is not None
        ).left()
        raise
    return runs


def _key_of(key: IdempotencyKey, number: int) -> IdempotencyKey:
    """Return the key of a choice, which but for the first no client can send."""
    if number == 0:
        return key
    return replace(key, key=f"{number} {sha256(key.key.encode()).hexdigest()}")


async def answer_whole(
    engine: Engine,
    runs: Sequence[Run],
    form: ResponseFormat,
    leaving: CancelOnDisconnect,
    request: Request,
) -> Response:
    """
    Respond when all choices are there.

    Raises:
        LlamaKeepError: One of them failed.
    """
    try:
        with leaving.watched(request.receive):
            ended = await asyncio.gather(*[engine.result(run) for run in runs])
    except LlamaKeepError:
        await leaving.left()
        raise
    bodies = [form.whole(run) for run in ended]
    choices = [_indexed(body, index) for index, body in enumerate(bodies)]
    body = bodies[0] | {
        "choices": [choice for [choice] in choices],
        "usage": usage_of(_total(ended)),
    }
    return json_response(body)


async def answer_streamed(
    engine: Engine,
    runs: Sequence[Run],
    forms: Sequence[ResponseFormat],
    leaving: CancelOnDisconnect,
    request: Request,
) -> Response:
    """
    Respond with the events of all choices, as they come.

    Raises:
        LlamaKeepError: One of them failed before its first text.
    """
    # Before they may end: the text that is not stored is the stream's alone.
    updates = [engine.follow(run) for run in runs]
    try:
        with leaving.watched(request.receive):
            await asyncio.gather(*[engine.answering(run) for run in runs])
    except LlamaKeepError:
        await leaving.left()
        raise
    stream = _events(updates, runs, forms, leaving, prefix=prefix_of(request))
    return Stream(stream, leaving, headers=HEADERS)


async def _events(
    updates: Sequence[AsyncGenerator[Update, None]],
    runs: Sequence[Run],
    forms: Sequence[ResponseFormat],
    leaving: CancelOnDisconnect,
    *,
    prefix: str,
) -> AsyncIterator[bytes]:
    for index, form in enumerate(forms):
        if first := _encoded(form.first(), index):
            yield first
    ended: list[Run] = []
    try:
        async with aclosing(_merged(updates, runs)) as told:
            async for index, update in told:
                if isinstance(update, Exception):
                    raise update
                if isinstance(update, Ended):
                    ended.append(update.run)
                events = _of(update, forms[index])
                yield _encoded(events, index) or sse.KEEP_ALIVE
        leaving.is_watching = False
        for one in forms[0].with_usage(_total(ended)):
            yield sse.encode(to_json(one))
        yield DONE
    except LlamaKeepError as error:
        yield sse.encode(to_json(error_of(error, prefix)))
        # The others are not told any more.
        await leaving.left()


def _of(update: Update, form: ResponseFormat) -> Iterator[dict[str, Any]]:
    match update:
        case Delta(text, _, logprobs):
            yield form.delta(text, logprobs)
        case NextItem() | ItemDelta():
            yield from form.item(update)
        case Reset():
            raise begun_anew()
        case Ended(run):
            raise_for_status(run)
            yield from form.last(run)
        case Silence():
            pass


async def _merged(
    updates: Sequence[AsyncGenerator[Update, None]], runs: Sequence[Run]
) -> AsyncGenerator[Told, None]:
    """Yield the updates of all runs as they come, each with its run's number."""
    queue: asyncio.Queue[Told] = asyncio.Queue(len(runs))

    async def follow(index: int) -> None:
        try:
            async with aclosing(updates[index]) as own:
                async for update in own:
                    await queue.put((index, update))
        except Exception as error:  # noqa: BLE001 - raised by the reader of the queue
            if isinstance(error, LlamaKeepError):
                error.run_id = runs[index].id
            await queue.put((index, error))

    tasks = [asyncio.create_task(follow(index)) for index in range(len(runs))]
    try:
        going_on = len(tasks)
        while going_on:
            told = await queue.get()
            going_on -= isinstance(told[1], Ended)
            yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _encoded(events: Iterator[dict[str, Any]], index: int) -> bytes:
    """Return events, all about one choice, as they are sent; usage comes at the end."""
    frames = []
    for event in events:
        if event["choices"]:
            event["choices"] = _indexed(event, index)
            frames.append(sse.encode(to_json(event)))
    return b"".join(frames)


def _indexed(body: dict[str, Any], index: int) -> list[dict[str, Any]]:
    return [choice | {"index": index} for choice in body["choices"]]


def _total(runs: Sequence[Run]) -> Usage:
    """Return what all runs took, as far as it is known of each."""
    used = [run.usage for run in runs]
    return Usage(
        _sum([one.input_tokens for one in used]),
        _sum([one.output_tokens for one in used]),
        cached_tokens=_sum([one.cached_tokens for one in used]),
        reasoning_tokens=_sum([one.reasoning_tokens for one in used]),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
