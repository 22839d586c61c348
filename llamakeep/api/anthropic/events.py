"""
Streaming a run as the events of a message.

A block begins with its first text, so that none is empty; a tool call begins at once.
What has no event of Anthropic's API is an `error`, which ends the stream.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from llamakeep.api.anthropic.errors import error_of
from llamakeep.api.anthropic.rendering import (
    Shown,
    beginning_of,
    begun_block,
    ending_of,
    usage_of,
)
from llamakeep.api.http import sse
from llamakeep.api.prompts.canceling import CancelOnDisconnect
from llamakeep.domain import Item, Reasoning, Run, Text, ToolCall
from llamakeep.engine import Delta, Ended, ItemDelta, NextItem, Reset, Update
from llamakeep.engine.refusals import raise_for_status
from llamakeep.errors import LlamaKeepError, RunInterrupted
from llamakeep.schemas.json_text import to_json

PING = sse.encode(to_json({"type": "ping"}), "ping")


async def events(
    updates: AsyncGenerator[Update, None],
    run: Run,
    leaving: CancelOnDisconnect,
    *,
    shown: Shown,
    prefix: str,
    request_id: str,
) -> AsyncIterator[bytes]:
    """Yield the encoded events of `run` until its end or an error."""
    blocks = _Blocks(shown)
    yield _frame("message_start", message=beginning_of(run)) + PING
    try:
        async with aclosing(updates):
            async for update in updates:
                match update:
                    case Ended(ended):
                        leaving.is_watching = False
                        raise_for_status(ended)
                        yield b"".join(blocks.last(ended))
                    case Reset():
                        raise RunInterrupted(
                            "The server had to begin the answer again, so what came so "
                            "far is not its beginning, and nothing more is sent. The "
                            "run continues, and its whole text is kept."
                        )
                    case _:
                        yield b"".join(blocks.of(update)) or PING
    except LlamaKeepError as error:
        leaving.is_watching = False
        error.run_id = run.id
        yield sse.encode(to_json(error_of(error, prefix, request_id)), "error")


class _Blocks:
    """Makes events of what is said, block by block."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._item: Item = Text()
        """What the next text is of."""
        self._index = 0
        self._is_open = False
        self._kinds: set[type[Item]] = set()

    def of(self, update: Update) -> Iterator[bytes]:
        match update:
            case NextItem(item):
                yield from self._close()
                self._item = item
                self._kinds.add(type(item))
                if self._shown.has_block(item):  # without text: it has none to wait for
                    yield self._open()
            case Delta(text) | ItemDelta(text) if text:
                yield from self._grow(text)

    def last(self, run: Run) -> Iterator[bytes]:
        """Yield the events of the end."""
        yield from self._close()
        delta = ending_of(run, self._kinds)
        yield _frame("message_delta", delta=delta, usage=usage_of(run.usage))
        yield _frame("message_stop")

    def _grow(self, text: str) -> Iterator[bytes]:
        delta = {"type": "text_delta", "text": text}
        match self._item:
            case ToolCall():
                delta = {"type": "input_json_delta", "partial_json": text}
            case Reasoning():
                if not self._shown.thinking:
                    return
                delta = {"type": "thinking_delta", "thinking": text}
        if not self._is_open:
            yield self._open()
        if self._shown.text or not isinstance(self._item, Reasoning):
            yield self._delta(delta)

    def _open(self) -> bytes:
        self._is_open = True
        block = begun_block(self._item)
        return _frame("content_block_start", index=self._index, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if not self._is_open:
            return
        if isinstance(self._item, Reasoning) and self._item.sealed is None:
            # Clients wait for it, and send it back with the block.
            yield self._delta({"type": "signature_delta", "signature": ""})
        yield _frame("content_block_stop", index=self._index)
        self._is_open = False
        self._index += 1

    def _delta(self, delta: dict[str, str]) -> bytes:
        return _frame("content_block_delta", index=self._index, delta=delta)


def _frame(kind: str, **facts: Any) -> bytes:
    return sse.encode(to_json({"type": kind, **facts}), kind)
