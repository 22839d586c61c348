"""
A live run as lines of JSON, which another node makes the same live run of.

The first line is the run's beginning, which is what readers of an earlier attempt are
compared with; the others are what was received since. The end is not among them: when
the lines are over, storage has it, or another node.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from pydantic_core import from_json, to_json

from llamakeep.domain import Item, Run, RunStatus
from llamakeep.domain.messages import part_of, said_in, written
from llamakeep.domain.output import heads_of, items_of
from llamakeep.engine import Delta, ItemDelta, NextItem, Position, Silence, Update
from llamakeep.engine.following import nothing
from llamakeep.engine.live import LiveRun
from llamakeep.errors import LlamaKeepError
from llamakeep.providers.base import ItemBegun, Logprobs


async def lines_of(live: LiveRun) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a run until it is over, or this node has it no longer."""
    run = live.run
    yield _line(
        {
            "attempt": run.attempt,
            "common_length": run.common_length,
            "is_resumed": live.is_resumed,
            "kept": live.earlier_tape,
            "heads": [written(head) for head in heads_of(run.output)],
        }
    )
    try:
        async with aclosing(live.follow(Position(), nothing)) as updates:
            async for update in updates:
                if (facts := _facts(update)) is not None:
                    yield _line(facts)
    except LlamaKeepError:
        return  # those who follow elsewhere look in storage what is the matter


def _facts(update: Update) -> dict[str, Any] | None:
    match update:
        case Delta(text, position, logprobs) if logprobs:
            return {"attempt": position.attempt, "text": text, "logprobs": logprobs}
        case Delta(text, position) | ItemDelta(text, position):
            return {"attempt": position.attempt, "text": text}
        case NextItem(item, position):
            return {"attempt": position.attempt, "item": written(item)}
        case Silence():
            return {}
    return None


def _line(facts: dict[str, Any]) -> bytes:
    return to_json(facts) + b"\n"


def begun_by(run: Run, line: bytes) -> LiveRun:
    """Return the live run that a first line says `run` to be."""
    facts = from_json(line)
    kept = facts["kept"]
    output = items_of(kept, [_item(each) for each in facts["heads"]])
    return LiveRun(
        replace(
            run,
            status=RunStatus.PROCESSING,
            attempt=facts["attempt"],
            common_length=facts["common_length"],
            response=said_in(output) if output else kept,
            output=output,
            handle="known elsewhere" if facts["is_resumed"] else None,
        )
    )


def receive(live: LiveRun, line: bytes) -> None:
    """Take in what a further line says."""
    facts = from_json(line)
    if not facts:
        live.tick()
        return
    if facts["attempt"] != live.run.attempt:  # it has begun since
        live.run = replace(live.run, attempt=facts["attempt"])
    if "item" in facts:
        live.receive(ItemBegun(_item(facts["item"])))
        return
    if "logprobs" in facts:
        live.receive(Logprobs(facts["logprobs"]))
    live.receive(facts["text"])


def _item(facts: dict[str, Any]) -> Item:
    return cast("Item", part_of({"text": "", **facts}))
